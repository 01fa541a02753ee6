import { type ClientCertificateSource, checkCertificate } from './certificate.ts'
import { type AccessTokenClaims, checkScope, checkTimes } from './claims.ts'
import { challenge, VerifyError } from './errors.ts'
import { fixedKeys, RemoteKeys } from './key-source.ts'
import { createReplayMemory } from './memory.ts'
import { readOptions, type VerifierOptions, type VerifyEvent } from './options.ts'
import { checkProof, type ProofOfPossession, proofAlgorithms } from './proof.ts'
import { type ResourceMetadata, resourceMetadata } from './resource-metadata.ts'
import { createTokenReader } from './token.ts'

/** What else the request shows, and what it needs. */
export interface VerifyContext {
  /** Scopes that the token must have, with spaces between them. */
  readonly scope?: string | undefined
  /** The client certificate of the connection, for tokens that are bound to one. */
  readonly certificate?: ClientCertificateSource | undefined
  /** The DPoP proof of a request whose token came under the scheme `DPoP`. */
  readonly dpop?: ProofOfPossession | undefined
  /** What was asked for, for the hooks. */
  readonly path?: string | undefined
}

export interface Verifier {
  /**
   * @returns the claims of a token that may be accepted, frozen.
   * @throws VerifyError if it may not.
   */
  verify(token: string, context?: VerifyContext): Promise<AccessTokenClaims>
  /** Where callers read how to get a token (RFC 9728). Undefined unless `scopesSupported` is set. */
  readonly resourceMetadata: ResourceMetadata | undefined
  /**
   * A refusal of a request that shows no token to verify: it is told to `onRefused`, and gets its challenge.
   * For those who read requests themselves, as `requireToken` does.
   */
  refuse(error: VerifyError, context?: VerifyContext): VerifyError
  /** Where this service is, if it is known: the origin of URLs in proofs. */
  readonly origin: string | undefined
}

/**
 * Verifies the access tokens of one issuer for one audience.
 * @throws TypeError if an option is missing or makes no sense.
 */
export function createVerifier(given: VerifierOptions): Verifier {
  const options = readOptions(given)
  const { leewaySeconds, nowSeconds, hooks } = options
  const keys =
    options.keys === undefined
      ? new RemoteKeys({ ...options.remoteKeys, onFault: hooks.onKeysFault })
      : fixedKeys(options.keys)
  const claimsOf = createTokenReader(options, keys)
  const replays = createReplayMemory(options.proofsRememberedMax)
  const metadata = resourceMetadata(options)

  /** Everything beside the token itself: checked at each use. */
  async function checkUse(token: string, claims: AccessTokenClaims, context: VerifyContext): Promise<void> {
    const now = nowSeconds()
    checkTimes(claims, now, leewaySeconds)
    checkCertificate(claims, context.certificate, now)
    if (context.dpop !== undefined)
      await checkProof(token, claims, context.dpop, { now, leewaySeconds, replays })
    else if (claims.cnf?.jkt !== undefined) throw new VerifyError('proof_missing')
    if (context.scope !== undefined) checkScope(claims, context.scope)
  }

  function refuse(error: VerifyError, context: VerifyContext = {}, claims?: AccessTokenClaims): VerifyError {
    // Who the token is from is told only if that is proven.
    hooks.onRefused(eventOf(error.code, claims, context))
    error.wwwAuthenticate = challenge(error, {
      resourceMetadata: metadata?.url,
      scope: context.scope,
      proofAlgorithms:
        context.dpop === undefined && error.code !== 'proof_missing' ? undefined : proofAlgorithms,
    })
    return error
  }

  async function verify(token: string, context: VerifyContext = {}): Promise<AccessTokenClaims> {
    let claims: AccessTokenClaims | undefined
    try {
      claims = await claimsOf(token)
      await checkUse(token, claims, context)
    } catch (error) {
      throw error instanceof VerifyError ? refuse(error, context, claims) : error
    }
    hooks.onVerified(eventOf('verified', claims, context))
    return claims
  }

  return {
    verify,
    refuse: (error, context) => refuse(error, context),
    resourceMetadata: metadata,
    origin: options.origin,
  }
}

const eventOf = (
  outcome: VerifyEvent['outcome'],
  claims: AccessTokenClaims | undefined,
  { path }: VerifyContext,
): VerifyEvent => ({ outcome, iss: claims?.iss, sub: claims?.sub, jti: claims?.jti, path })

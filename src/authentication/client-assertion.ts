import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import type { RefusalReason } from '../refusals.ts'
import { isJti } from './compact-jws.ts'
import { type ReadFederated, readFederated } from './federated-assertion.ts'
import { type ReadJwt, readMoments, readSignedJwt, textOf } from './signed-jwt.ts'

/**
 * Reads a client assertion (RFC 7521 §4.2, RFC 7523 §2.2 and §3 as updated by RFC 10070). Nothing in it is proven here.
 * Pure, and the same for everybody: no client and no key is looked at.
 */
export interface ReadAssertion {
  /**
   * Who it says it is from, for the record of a refusal too; undefined if it does not say, or if another issuer signed
   * it.
   */
  readonly clientId: string | undefined
  /** What is wrong with it, whoever sent it. */
  readonly refusal: RefusalReason | undefined
  /** Undefined if there is a refusal. */
  readonly parsed: ParsedAssertion | undefined
  /** Set if another issuer signed it, or is said to have. */
  readonly federated?: ReadFederated
}

/** An assertion that is complete. Times in seconds since 1970, which need not be whole. */
export interface ParsedAssertion {
  readonly clientId: string
  readonly algorithm: SigningAlgorithm
  readonly kid: string | undefined
  readonly audience: unknown
  readonly expiresAt: number
  readonly notBefore: number | undefined
  readonly issuedAt: number | undefined
  readonly jti: string
  /** Header and claims as they were signed. */
  readonly signedBytes: Buffer
  readonly signature: Buffer
}

/**
 * The types that an assertion may have. RFC 10070 has the second one; libraries from before send the first, or none. So
 * any other type means something else: an access token, a request object, a proof of possession (RFC 8725 §3.12).
 */
const types: ReadonlySet<string | undefined> = new Set([undefined, 'jwt', 'client-authentication+jwt'])

/** @param isSpiffe whether it is said to be a JWT-SVID, in which another issuer is implied. */
export function readAssertion(text: string, isSpiffe = false): ReadAssertion {
  const read = readSignedJwt(text)
  // A client signs for itself, so issuer and subject are the same. Otherwise another issuer signed it.
  const { iss, sub } = read.claims ?? {}
  const isOwn =
    !isSpiffe && (iss === sub || textOf(sub) === undefined || (iss === undefined && !isSpiffeId(sub)))
  if (isOwn) return readOwn(read)
  const federated = readFederated(read, isSpiffe)
  return {
    clientId: undefined,
    refusal: federated.refusal,
    parsed: undefined,
    federated,
  }
}

const isSpiffeId = (value: unknown): boolean => typeof value === 'string' && value.startsWith('spiffe://')

function readOwn({ claims, refusal, jwt }: ReadJwt): ReadAssertion {
  const [iss, sub] = [textOf(claims?.['iss']), textOf(claims?.['sub'])]
  const clientId = sub ?? iss
  const refuse = (reason: RefusalReason): ReadAssertion => ({ clientId, refusal: reason, parsed: undefined })
  if (claims === undefined || jwt === undefined) return refuse(refusal ?? 'assertion_malformed')
  if (!types.has(jwt.type)) return refuse('assertion_type_wrong')
  const moments = readMoments(claims)
  const { jti, aud: audience } = claims
  const isComplete = iss !== undefined && sub !== undefined && audience !== undefined
  if (!isComplete || moments === undefined || !isJti(jti)) return refuse('assertion_claims_malformed')
  const { algorithm, kid, signedBytes, signature } = jwt
  const parsed = { clientId: sub, algorithm, kid, audience, ...moments, jti, signedBytes, signature }
  return { clientId, refusal: undefined, parsed }
}

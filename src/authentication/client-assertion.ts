import { isSigningAlgorithm, type SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { base64urlDecoded } from '../lib/base64url.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import {
  demandsMore,
  isJti,
  isMoment,
  type Mapping,
  readMapping,
  signedBytesOf,
  splitCompact,
  typeOf,
} from './compact-jws.ts'

/**
 * Reads a client assertion (RFC 7521 §4.2, RFC 7523 §2.2 and §3 as updated by RFC 10070). Nothing in it is proven here.
 * Pure, and the same for everybody: no client and no key is looked at.
 */
export interface ReadAssertion {
  /** Who it says it is from, for the record of a refusal too; undefined if it does not say. */
  readonly clientId: string | undefined
  /** What is wrong with it, whoever sent it. */
  readonly refusal: RefusalReason | undefined
  /** Undefined if there is a refusal. */
  readonly parsed: ParsedAssertion | undefined
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

export function readAssertion(text: string): ReadAssertion {
  const parts = text.length > limits.assertionCharactersMax ? undefined : splitCompact(text)
  const header = parts && readMapping(parts.header)
  const claims = parts && readMapping(parts.claims)
  const signature = parts && base64urlDecoded(parts.signature)
  const clientId = textOf(claims?.['sub']) ?? textOf(claims?.['iss'])
  const refuse = (refusal: RefusalReason): ReadAssertion => ({ clientId, refusal, parsed: undefined })
  if (header === undefined || claims === undefined || signature === undefined || signature.length === 0) {
    return refuse('assertion_malformed')
  }
  const headerRefusal = refusalOfHeader(header)
  if (headerRefusal !== undefined) return refuse(headerRefusal)
  const algorithm = header['alg'] === 'Ed25519' ? 'EdDSA' : header['alg']
  if (typeof algorithm !== 'string' || !isSigningAlgorithm(algorithm))
    return refuse('assertion_algorithm_unsupported')
  const moments = readMoments(claims)
  const { iss, sub, jti, aud: audience } = claims
  if (typeof iss !== 'string' || typeof sub !== 'string' || iss === '' || sub === '') {
    return refuse('assertion_claims_malformed')
  }
  if (moments === undefined || !isJti(jti) || audience === undefined)
    return refuse('assertion_claims_malformed')
  if (iss !== sub) return refuse('assertion_subject_mismatch')
  const parsed: ParsedAssertion = {
    clientId: sub,
    algorithm,
    kid: header['kid'] as string | undefined,
    audience,
    ...moments,
    jti,
    signedBytes: signedBytesOf(text),
    signature,
  }
  return { clientId, refusal: undefined, parsed }
}

/**
 * The types that an assertion may have. RFC 10070 has the second one; libraries from before send the first, or none. So
 * any other type means something else: an access token, a request object, a proof of possession (RFC 8725 §3.12).
 */
const types: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'client-authentication+jwt'])

/** Keys and addresses of keys in the header (`jwk`, `jku`, `x5c`, `x5u`) are never looked at (RFC 8725 §3.10). */
function refusalOfHeader(header: Mapping): RefusalReason | undefined {
  const { kid } = header
  if (demandsMore(header)) return 'assertion_header_unsupported'
  if (
    kid !== undefined &&
    (typeof kid !== 'string' || kid === '' || kid.length > limits.keyIdCharactersMax)
  ) {
    return 'assertion_header_unsupported'
  }
  return types.has(typeOf(header)) ? undefined : 'assertion_type_wrong'
}

function readMoments(claims: Mapping) {
  const { exp, nbf, iat } = claims
  for (const moment of [exp, nbf === undefined ? 0 : nbf, iat === undefined ? 0 : iat]) {
    if (!isMoment(moment)) return undefined
  }
  const [expiresAt, notBefore, issuedAt] = [exp, nbf, iat] as [number, number | undefined, number | undefined]
  // Valid at no moment at all.
  if (expiresAt <= (notBefore ?? -1) || expiresAt <= (issuedAt ?? -1)) return undefined
  return { expiresAt, notBefore, issuedAt }
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

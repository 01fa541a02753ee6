import { isSigningAlgorithm, type SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { base64urlDecoded } from '../lib/base64url.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import { demandsMore, isMoment, readMapping, signedBytesOf, splitCompact, typeOf } from './compact-jws.ts'

/**
 * Reads a JWT that somebody signed (RFC 7519, RFC 7515): what clients and other issuers sign has the same form. Nothing in
 * it is proven here. Pure, and the same for everybody: no client, no issuer and no key is looked at.
 */
export interface SignedJwt {
  /** The type in its header, in lower case and without `application/`; undefined if it has none. */
  readonly type: string | undefined
  readonly kid: string | undefined
  readonly algorithm: SigningAlgorithm
  /** Header and claims as they were signed. */
  readonly signedBytes: Buffer
  readonly signature: Buffer
}

export type Claims = Readonly<Record<string, unknown>>

export interface ReadJwt {
  /** Also those of a JWT that is refused, for the record; undefined if they cannot be read. */
  readonly claims: Claims | undefined
  /** What is wrong with its form or its header. */
  readonly refusal: RefusalReason | undefined
  /** Undefined if there is a refusal. */
  readonly jwt: SignedJwt | undefined
}

export function readSignedJwt(text: string): ReadJwt {
  const parts = text.length > limits.assertionCharactersMax ? undefined : splitCompact(text)
  const header = parts && readMapping(parts.header)
  const claims = parts && readMapping(parts.claims)
  const signature = parts && base64urlDecoded(parts.signature)
  const refuse = (refusal: RefusalReason): ReadJwt => ({ claims, refusal, jwt: undefined })
  if (header === undefined || claims === undefined || signature === undefined || signature.length === 0) {
    return refuse('assertion_malformed')
  }
  if (!isHeaderSupported(header)) return refuse('assertion_header_unsupported')
  const algorithm = header['alg'] === 'Ed25519' ? 'EdDSA' : header['alg']
  const type = typeOf(header)
  if (type !== undefined && typeof type !== 'string') return refuse('assertion_type_wrong')
  if (typeof algorithm !== 'string' || !isSigningAlgorithm(algorithm)) {
    return refuse('assertion_algorithm_unsupported')
  }
  const jwt = {
    type,
    kid: header['kid'] as string | undefined,
    algorithm,
    signedBytes: signedBytesOf(text),
    signature,
  }
  return { claims, refusal: undefined, jwt }
}

/** Keys and addresses of keys in the header (`jwk`, `jku`, `x5c`, `x5u`) are never looked at (RFC 8725 §3.10). */
function isHeaderSupported(header: Claims): boolean {
  const { kid } = header
  if (demandsMore(header)) return false
  return (
    kid === undefined || (typeof kid === 'string' && kid !== '' && kid.length <= limits.keyIdCharactersMax)
  )
}

/** Times in seconds since 1970, which need not be whole. */
export interface Moments {
  readonly expiresAt: number
  readonly notBefore: number | undefined
  readonly issuedAt: number | undefined
}

export function readMoments(claims: Claims): Moments | undefined {
  const { exp, nbf, iat } = claims
  for (const moment of [exp, nbf === undefined ? 0 : nbf, iat === undefined ? 0 : iat]) {
    if (!isMoment(moment)) return undefined
  }
  const [expiresAt, notBefore, issuedAt] = [exp, nbf, iat] as [number, number | undefined, number | undefined]
  // It is never valid: it ends before it begins.
  if (expiresAt <= (notBefore ?? -1) || expiresAt <= (issuedAt ?? -1)) return undefined
  return { expiresAt, notBefore, issuedAt }
}

export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

import { isSigningAlgorithm, type SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { base64urlDecoded } from '../lib/base64url.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import { readUncheckedKey } from './client-key.ts'
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
 * Reads a DPoP proof (RFC 9449 §4.2 and §4.3): a JWT that says for which request it is, signed with the key that the token
 * is to be bound to. Nothing in it is proven here. Pure, and the same for everybody.
 */
export type ReadDpopProof =
  | { readonly refusal: RefusalReason; readonly parsed?: undefined }
  | { readonly refusal?: undefined; readonly parsed: ParsedDpopProof }

/** A proof that is complete. Times in seconds since 1970, which need not be whole. */
export interface ParsedDpopProof {
  readonly algorithm: SigningAlgorithm
  /** The key in its header. Its form is right. Whether it is really a key is found out when it is imported. */
  readonly publicJwk: Readonly<Record<string, string>>
  /** RFC 7638. */
  readonly thumbprint: string
  readonly jti: string
  /** The method and the URI that it is for. */
  readonly htm: string
  readonly htu: string
  readonly issuedAt: number
  /** Claims of any JWT. Undefined: it has none, or one that is not a time. */
  readonly notBefore: number | undefined
  readonly expiresAt: number | undefined
  readonly nonce: string | undefined
  /** Header and claims as they were signed. */
  readonly signedBytes: Buffer
  readonly signature: Buffer
}

/** @param rawHeaders names and values in turn. @returns undefined if there is no such header. */
export function findDpopProof(rawHeaders: readonly string[]): ReadDpopProof | undefined {
  let found: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length !== 4 || name.toLowerCase() !== 'dpop') continue
    if (found !== undefined) return { refusal: 'dpop_proof_repeated' }
    found = rawHeaders[index + 1] ?? ''
  }
  return found === undefined ? undefined : readDpopProof(found)
}

export function readDpopProof(text: string): ReadDpopProof {
  const parts = text.length > limits.dpopProofCharactersMax ? undefined : splitCompact(text)
  const header = parts && readMapping(parts.header)
  const claims = parts && readMapping(parts.claims)
  const signature = parts && base64urlDecoded(parts.signature)
  if (header === undefined || claims === undefined || signature === undefined || signature.length === 0) {
    return { refusal: 'dpop_proof_malformed' }
  }
  if (demandsMore(header)) return { refusal: 'dpop_header_unsupported' }
  if (typeOf(header) !== 'dpop+jwt') return { refusal: 'dpop_type_wrong' }
  const algorithm = algorithmNamed(header['alg'])
  if (algorithm === undefined) return { refusal: 'dpop_algorithm_unsupported' }
  const key = keyOf(header['jwk'], algorithm)
  if (key === undefined) return { refusal: 'dpop_key_unusable' }
  const said = readClaims(claims)
  if (said === undefined) return { refusal: 'dpop_claims_malformed' }
  return { parsed: { algorithm, ...key, ...said, signedBytes: signedBytesOf(text), signature } }
}

function algorithmNamed(alg: unknown): SigningAlgorithm | undefined {
  // RFC 9864 has another name for it.
  if (alg === 'Ed25519') return 'EdDSA'
  return typeof alg === 'string' && isSigningAlgorithm(alg) ? alg : undefined
}

/**
 * The key that the proof brings along. A private key is refused: by sending it, the caller has shown it to everybody on
 * the way. Its own `alg` may not contradict the header's.
 */
function keyOf(jwk: unknown, algorithm: SigningAlgorithm) {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) return undefined
  const { alg, kid: _, ...members } = jwk as Mapping
  if (alg !== undefined && algorithmNamed(alg) !== algorithm) return undefined
  const read = readUncheckedKey({ ...members, alg: algorithm })
  if (!('thumbprint' in read)) return undefined
  return { publicJwk: read.publicJwk, thumbprint: read.thumbprint }
}

/** `ath` is for requests with a token, and other claims are for others (RFC 9449 §4.2). */
function readClaims({ jti, htm, htu, iat, nbf, exp, nonce }: Mapping) {
  if (!isJti(jti) || typeof htm !== 'string' || typeof htu !== 'string' || !isMoment(iat)) return undefined
  if (nonce !== undefined && typeof nonce !== 'string') return undefined
  const [notBefore, expiresAt] = [nbf, exp].map((moment) => (isMoment(moment) ? moment : undefined))
  return { jti, htm, htu, issuedAt: iat, notBefore, expiresAt, nonce }
}

import { randomUUID } from 'node:crypto'
import { signed, type TestKey } from './assertion.ts'

/** DPoP proofs (RFC 9449 §4.2), made without a library so that a test can spoil any part. */
export interface ProofChanges {
  /** Members to add or to replace; undefined takes one out. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
}

/** A proof as a good library makes it, with some changes. @param uri of the token endpoint. */
export function proofOf(key: TestKey, uri: string, { header, claims }: ProofChanges = {}): string {
  const iat = Math.floor(Date.now() / 1000)
  return signed(
    key,
    { alg: key.algorithm, typ: 'dpop+jwt', jwk: key.publicJwk, ...header },
    { jti: randomUUID(), htm: 'POST', htu: uri, iat, ...claims },
  )
}

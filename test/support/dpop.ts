import { randomUUID } from 'node:crypto'
import { decodeJwt } from 'jose'
import { signed, type TestKey } from './assertion.ts'
import { basic, type TestClient } from './service.ts'

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

/** `POST /token` with a secret and a proof. */
export function requestWithProof(
  url: string,
  { clientId, secret }: TestClient,
  proof: string,
): Promise<Response> {
  return fetch(`${url}/token`, {
    method: 'POST',
    headers: { authorization: basic(clientId, secret), dpop: proof },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
}

export interface TokenAnswer {
  access_token: string
  token_type: string
  error: string
}

export const answerOf = async (response: Response): Promise<TokenAnswer> =>
  (await response.json()) as TokenAnswer

export const confirmationOf = (token: string): unknown => decodeJwt(token)['cnf']

import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomBytes, sign } from 'node:crypto'
import { rawSignature } from '../src/keys/algorithms.ts'
import type { PreparedRequest } from './requests.ts'

/** DPoP proofs (RFC 9449) beside requests. Each request brings one of its own, because a proof counts once. */
export interface ProofKey {
  readonly privateKey: KeyObject
  readonly jwk: JsonWebKey
}

export function makeProofKeys(count: number): ProofKey[] {
  return Array.from({ length: count }, () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    return { privateKey, jwk: publicKey.export({ format: 'jwk' }) }
  })
}

/** The requests in turn, so many, each with a proof by the keys in turn. They can be sent for a minute. */
export function withProofs(
  requests: readonly PreparedRequest[],
  keys: readonly ProofKey[],
  issuer: string,
  count: number,
): PreparedRequest[] {
  // A little ahead, which is allowed, so that signing all of them takes nothing from that minute.
  const iat = Math.floor(Date.now() / 1_000) + 20
  const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const headers = keys.map(({ jwk }) => encoded({ alg: 'ES256', typ: 'dpop+jwt', jwk }))
  return Array.from({ length: count }, (_, number) => {
    const request = requests[number % requests.length] as PreparedRequest
    const { privateKey } = keys[number % keys.length] as ProofKey
    const jti = randomBytes(16).toString('base64url')
    const claims = encoded({ jti, htm: 'POST', htu: `${issuer}/token`, iat })
    const input = `${headers[number % keys.length]}.${claims}`
    const signature = rawSignature(sign('sha256', Buffer.from(input), privateKey)).toString('base64url')
    return { ...request, headers: { ...request.headers, dpop: `${input}.${signature}` } }
  })
}

import type { Jwk } from '../registry/issuer.ts'
import { type ClientKey, type ClientKeyProblem, readClientKey } from './client-key.ts'

/**
 * A public key of another issuer, as it publishes it. The same keys are accepted as from clients. Two things differ: what a
 * trust domain marks its keys with, and what an RSA key without `alg` is for. Every platform signs RS256 with these.
 * @param use which keys of a set are for signatures of tokens.
 */
export function readIssuerKey(value: unknown, use: 'sig' | 'jwt-svid'): ClientKey | ClientKeyProblem {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return readClientKey(value)
  const jwk = value as Jwk
  if (use === 'jwt-svid') {
    if (jwk['use'] !== use) return { problem: 'is not for JWT-SVIDs: its use must be jwt-svid' }
    return readClientKey(withAlgorithm({ ...jwk, use: undefined }))
  }
  return readClientKey(withAlgorithm(jwk))
}

function withAlgorithm(jwk: Jwk): Jwk {
  return jwk['kty'] === 'RSA' && jwk['alg'] === undefined ? { ...jwk, alg: 'RS256' } : jwk
}

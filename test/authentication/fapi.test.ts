/** What the FAPI 2.0 Security Profile asks of a client that is held to it. */
import { describe, expect, test } from 'vitest'
import {
  fapiAuthMethods,
  fapiRefusal,
  fapiTokenRefusal,
  isFapiAlgorithm,
} from '../../src/authentication/fapi.ts'
import type { Credentials, Proof } from '../../src/authentication/method.ts'
import { signingAlgorithms } from '../../src/keys/signing-algorithm.ts'

const held = { fapi: true }
const assertion = { algorithm: 'ES256' }
const own = { method: 'private_key_jwt', assertion }
const forIssuer = { assertion: { audience: 'issuer' } }

const refusal = (credentials: object, proof: object = {}, client: { fapi?: boolean } = held) =>
  fapiRefusal(client, credentials as Credentials, proof as Proof)

test('RS256 signs nothing, and everything else does', () => {
  expect(signingAlgorithms.filter(isFapiAlgorithm)).toEqual(
    signingAlgorithms.filter((algorithm) => algorithm !== 'RS256'),
  )
})

describe('a client', () => {
  test('has no secret', () => {
    expect(fapiAuthMethods).toEqual([
      'private_key_jwt',
      'tls_client_auth',
      'self_signed_tls_client_auth',
      'federated_jwt',
    ])
    expect(refusal({ method: 'tls_client_auth' })).toBeUndefined()
    for (const method of ['client_secret_basic', 'client_secret_post', 'client_metadata'])
      expect(refusal({ method })).toBe('authentication_method_not_registered')
  })

  test('signs its assertion with a strong algorithm', () => {
    expect(refusal(own, forIssuer)).toBeUndefined()
    const weak = { ...own, assertion: { algorithm: 'RS256' } }
    expect(refusal(weak, forIssuer)).toBe('assertion_algorithm_unsupported')
  })

  test('names the issuer as the audience, and not an endpoint of it', () => {
    const federated = (audience: string) => ({ federated: { facts: { audience } } })
    expect(refusal({ ...own, method: 'federated_jwt' }, federated('issuer'))).toBeUndefined()
    for (const proof of [
      { assertion: { audience: 'token_endpoint' } },
      { assertion: { audience: 'other' } },
      federated('token_endpoint'),
      {},
    ])
      expect(refusal(own, proof)).toBe('assertion_audience_token_endpoint')
  })

  test('proves the possession of a key with a strong algorithm', () => {
    const possession = (algorithm: string) => ({ ...forIssuer, possession: { algorithm } })
    expect(refusal(own, possession('PS256'))).toBeUndefined()
    expect(refusal(own, possession('RS256'))).toBe('dpop_algorithm_unsupported')
  })

  test('that is not held to it may do all of that', () => {
    for (const client of [{}, { fapi: false }])
      expect(refusal({ method: 'client_secret_basic' }, {}, client)).toBeUndefined()
  })
})

test('a token is bound, and signed with a strong algorithm', () => {
  const [strong, weak] = [{ signingAlgorithm: 'EdDSA' }, { signingAlgorithm: 'RS256' }] as const
  expect(fapiTokenRefusal(held, true, strong)).toBeUndefined()
  expect(fapiTokenRefusal(held, false, strong)).toBe('token_not_bound')
  expect(fapiTokenRefusal(held, true, weak)).toBe('token_algorithm_not_allowed')
  expect(fapiTokenRefusal({ fapi: false }, false, weak)).toBeUndefined()
})

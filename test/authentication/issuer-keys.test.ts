/** Where the keys of a trusted issuer come from. */
import { describe, expect, test } from 'vitest'
import { addressOf, keySourceId, uploadedKeys } from '../../src/authentication/issuer-keys.ts'
import type { IssuerKeySource, TrustedIssuer } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'

const issuer = 'https://idp.example.com'
const url = 'https://idp.example.com/keys'
const [one, two] = [makeKey('ES256', 'one'), makeKey('RS256', 'two')]
const uploadedSet = (...keys: object[]) => ({ kind: 'jwks', keys: keys.map((key) => ({ ...key })) }) as const
const from = (keys: IssuerKeySource, named = issuer): TrustedIssuer => ({
  issuer: named,
  status: 'active',
  keys,
  rules: [],
})

const sources: readonly (readonly [IssuerKeySource, fetchedFrom: object | undefined])[] = [
  [{ kind: 'discovery' }, { kind: 'discovery', issuer }],
  [
    { kind: 'jwks_uri', url },
    { kind: 'jwks_uri', url },
  ],
  [
    { kind: 'spiffe_bundle', url },
    { kind: 'spiffe_bundle', url },
  ],
  [uploadedSet(one.publicJwk), undefined],
  [{ kind: 'client_metadata' }, undefined],
]

test.each(sources)('keys from %j are fetched from %j', (source, address) => {
  expect(addressOf(from(source))).toEqual(address)
})

describe('keys that were uploaded', () => {
  test('are those that can be used, and the same objects each time, so that each is imported once', () => {
    const trusted = from(
      uploadedSet({ ...one.publicJwk, kid: 'one' }, { kty: 'oct', k: 'AAAA' }, { kty: 'EC' }, two.publicJwk),
    )
    const expected = [
      expect.objectContaining({ kid: 'one', thumbprint: one.thumbprint, algorithm: 'ES256' }),
      expect.objectContaining({ kid: undefined, thumbprint: two.thumbprint, algorithm: 'RS256' }),
    ]
    const found = uploadedKeys(trusted)
    expect(found).toEqual(expected)
    expect(uploadedKeys(trusted)).toBe(found)
  })

  test('for another use than signatures are none', () => {
    const keys = uploadedSet({ ...one.publicJwk, use: 'jwt-svid' }, { ...one.publicJwk, use: 'enc' })
    expect(uploadedKeys(from(keys))).toEqual([])
  })

  test('are none where keys come from elsewhere', () => {
    for (const [source] of sources)
      expect(uploadedKeys(from(source))).toHaveLength(source.kind === 'jwks' ? 1 : 0)
  })
})

test('the source of keys has another name whenever it is another one', () => {
  const others = [
    from({ kind: 'discovery' }, `${issuer}/`),
    from({ kind: 'jwks_uri', url: `${url}2` }),
    from(uploadedSet(two.publicJwk)),
    from(uploadedSet(one.publicJwk, two.publicJwk)),
    ...sources.map(([source]) => from(source)),
  ]
  expect(new Set(others.map(keySourceId)).size).toBe(others.length)
  for (const each of others) {
    // Rules do not count, and neither does which object it is.
    const alike = { ...structuredClone(each), status: 'disabled' as const, rules: [{} as never] }
    expect(keySourceId(alike)).toBe(keySourceId(each))
    expect(keySourceId(each)).toMatch(/^[\w-]{43}$/)
  }
})

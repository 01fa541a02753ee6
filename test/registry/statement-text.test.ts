/**
 * The text of statements is what earlier releases wrote, and is read as what it was. Were it another one, an upgrade would
 * take a registry that nobody touched for one that was changed by hand.
 */
import { describe, expect, test } from 'vitest'
import type { ClientStatement, ResourceFacts } from '../../src/registry/statement.ts'
import {
  clientStatement,
  readClientStatement,
  readResourceStatement,
  resourceStatement,
} from '../../src/registry/statement-text.ts'

/** What a client is that has nothing. */
const least: ClientStatement = {
  status: 'active',
  tokenEndpointAuthMethod: undefined,
  allowedNetworks: [],
  expiresAt: undefined,
  secrets: [],
  access: [],
}

/** What a text is read as: what is not in it is told as well. */
const read: ClientStatement = {
  ...least,
  keys: [],
  assertionAudience: 'issuer',
  certificateField: undefined,
  requiredCertificate: undefined,
  certificateBoundTokens: false,
  dpopBoundTokens: false,
  jwksUri: undefined,
  claims: undefined,
}

const leastText = ['client', 'billing', 'active', null, [], null, [], []]
const key = { thumbprint: 'print', algorithm: 'PS256', expiresAt: undefined }

describe('a client', () => {
  test.each<[string, Partial<ClientStatement>, readonly unknown[]]>([
    ['that has nothing', {}, leastText],
    [
      'that has what the first release knew',
      {
        status: 'disabled',
        tokenEndpointAuthMethod: 'client_secret_basic',
        allowedNetworks: ['192.0.2.7', '10.0.0.0/8'],
        expiresAt: 2_000,
        secrets: [
          { secretId: 'aaaaaaaa', hash: 'one', expiresAt: undefined },
          { secretId: 'bbbbbbbb', hash: 'other', expiresAt: 1_000 },
        ],
        access: [
          { audience: 'urn:a', scopes: ['write', 'read'] },
          { audience: 'urn:b', scopes: [] },
        ],
      },
      [
        'client',
        'billing',
        'disabled',
        'client_secret_basic',
        ['192.0.2.7', '10.0.0.0/8'],
        2_000,
        [
          ['aaaaaaaa', 'one', null],
          ['bbbbbbbb', 'other', 1_000],
        ],
        [
          ['urn:a', ['write', 'read']],
          ['urn:b', []],
        ],
      ],
    ],
    ['with a key', { keys: [key] }, [...leastText, [['print', 'PS256', null]], 'issuer']],
    [
      'with keys, whose assertions may name the token endpoint',
      { keys: [{ ...key, expiresAt: 5 }], assertionAudience: 'token_endpoint' },
      [...leastText, [['print', 'PS256', 5]], 'token_endpoint'],
    ],
    [
      'without a key, whose assertions may name the token endpoint',
      { assertionAudience: 'token_endpoint' },
      [...leastText, [], 'token_endpoint'],
    ],
    [
      'that a certificate proves',
      { certificateField: { name: 'tls_client_auth_san_dns', value: 'a.td' } },
      [...leastText, [], 'issuer', ['tls_client_auth_san_dns', 'a.td', null, null, false]],
    ],
    [
      'that must bring a certificate',
      { requiredCertificate: { name: 'tls_client_auth_san_uri', value: 'urn:a' } },
      [...leastText, [], 'issuer', [null, null, 'tls_client_auth_san_uri', 'urn:a', false]],
    ],
    [
      'whose tokens are bound to its certificate',
      { keys: [key], certificateBoundTokens: true },
      [...leastText, [['print', 'PS256', null]], 'issuer', [null, null, null, null, true]],
    ],
    ['with claims', { claims: { b: 1, a: ['x'] } }, [...leastText, 'claims {"a":["x"],"b":1}']],
    ['with keys at an address', { jwksUri: 'https://a/keys' }, [...leastText, 'jwks_uri https://a/keys']],
    [
      'whose tokens are bound to a key',
      { dpopBoundTokens: true },
      [...leastText, 'dpop_bound_access_tokens'],
    ],
    ['that is held to the FAPI profile', { fapi: true }, [...leastText, 'fapi']],
    [
      'with all of these',
      { claims: { a: 1 }, jwksUri: 'https://a/keys', dpopBoundTokens: true, fapi: true, keys: [key] },
      [
        ...leastText,
        [['print', 'PS256', null]],
        'issuer',
        'claims {"a":1}',
        'jwks_uri https://a/keys',
        'dpop_bound_access_tokens',
        'fapi',
      ],
    ],
  ])('%s', (_, facts, text) => {
    expect(clientStatement('billing', { ...least, ...facts })).toEqual(text)
    expect(readClientStatement(text as unknown as Parameters<typeof readClientStatement>[0])).toEqual({
      ...read,
      ...facts,
    })
  })

  test('has one text, in whatever order its secrets, keys and access are listed', () => {
    const listed = (...names: readonly string[]) =>
      clientStatement('billing', {
        ...least,
        secrets: names.map((secretId) => ({ secretId, hash: 'hash', expiresAt: undefined })),
        access: names.map((audience) => ({ audience, scopes: [] })),
        keys: names.map((thumbprint) => ({ ...key, thumbprint })),
      })
    const sorted = listed('a', 'b', 'c')
    expect(sorted[6]).toEqual(['a', 'b', 'c'].map((name) => [name, 'hash', null]))
    expect(sorted[8]).toEqual(['a', 'b', 'c'].map((name) => [name, 'PS256', null]))
    expect(listed('c', 'b', 'a')).toEqual(sorted)
    expect(listed('b', 'a', 'c')).toEqual(sorted)
  })

  test('of which nothing was registered has no statement', () => {
    expect(readClientStatement(undefined)).toBeUndefined()
  })
})

describe('a resource', () => {
  const plain: ResourceFacts = {
    scopes: ['write', 'read'],
    tokenLifetimeSeconds: 300,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
  }
  const plainText = ['resource', 'urn:a', ['write', 'read'], 300, 'ES256', 'at+jwt']
  const none = { external: false, subjectForm: undefined, claims: undefined }

  test.each<[string, Partial<ResourceFacts>, readonly unknown[]]>([
    ['that has what the first release knew', {}, plainText],
    ['of somebody else', { ...none, external: true }, [...plainText, [true, null, null]]],
    [
      'with a form of the subject',
      { ...none, subjectForm: 'c:{client_id}' },
      [...plainText, [false, 'c:{client_id}', null]],
    ],
    ['with claims', { ...none, claims: { a: 1 } }, [...plainText, [false, null, '{"a":1}']]],
    [
      'with claims that nobody can read',
      { ...none, claims: 'unreadable' },
      [...plainText, [false, null, 'unreadable']],
    ],
  ])('%s', (_, facts, text) => {
    expect(resourceStatement('urn:a', { ...plain, ...facts })).toEqual(text)
    expect(readResourceStatement(text as unknown as Parameters<typeof readResourceStatement>[0])).toEqual({
      ...plain,
      ...facts,
    })
  })

  test('that says that it is nothing special has the text of before', () => {
    expect(resourceStatement('urn:a', { ...plain, ...none, claims: {} })).toEqual(plainText)
  })

  test('of which nothing was registered has no statement', () => {
    expect(readResourceStatement(undefined)).toBeUndefined()
  })
})

/** What is made of the rows that the registry reads: a client as decisions need it, and what changes can be followed. */
import { describe, expect, test } from 'vitest'
import type { Pool } from '../../src/database/open.ts'
import { networkContains } from '../../src/lib/network.ts'
import { limits } from '../../src/limits.ts'
import { type ClientRow, loadChanges, toClient, toField } from '../../src/registry/store.ts'

const bare: ClientRow = {
  client_id: 'billing',
  status: 'active',
  method: null,
  networks: [],
  expires_at: null,
  secrets: null,
  keys: null,
  assertion_audience: 'issuer',
  certificate: [null, null],
  required_certificate: [null, null],
  certificate_bound: false,
  dpop_bound_access_tokens: false,
  fapi: false,
  jwks_uri: null,
  claims: null,
  access: null,
}

const bareClient = {
  clientId: 'billing',
  status: 'active',
  tokenEndpointAuthMethod: undefined,
  allowedNetworks: [],
  expiresAt: undefined,
  secrets: new Map(),
  keys: [],
  assertionAudience: 'issuer',
  certificateBoundTokens: false,
  dpopBoundTokens: false,
  access: new Map(),
}

const secret = {
  secret_id: 's',
  hash: 'hash',
  expires_at: null,
  revoked_at: null,
  tag_key: null,
  tag: null,
}
const untagged = { secretId: 's', hash: 'hash', expiresAt: undefined, revokedAt: undefined, tag: undefined }
const key = {
  thumbprint: 't',
  kid: 'k',
  algorithm: 'ES256',
  jwk: { kty: 'EC' },
  expires_at: 1,
  revoked_at: 2,
} as const

describe('a client has', () => {
  const cases: readonly (readonly [what: string, row: Partial<ClientRow>, expected: object])[] = [
    ['nothing but a name', {}, {}],
    ['the status of its row', { status: 'disabled' }, { status: 'disabled' }],
    ['its method', { method: 'tls_client_auth' }, { tokenEndpointAuthMethod: 'tls_client_auth' }],
    ['its end', { expires_at: 0 }, { expiresAt: 0 }],
    ['its secrets', { secrets: [secret] }, { secrets: new Map([['s', untagged]]) }],
    [
      'secrets with their ends and revocations',
      { secrets: [{ ...secret, expires_at: 1, revoked_at: 2 }] },
      { secrets: new Map([['s', { ...untagged, expiresAt: 1, revokedAt: 2 }]]) },
    ],
    [
      'secrets with their tags',
      { secrets: [{ ...secret, tag_key: 'kek', tag: 'ff00' }] },
      { secrets: new Map([['s', { ...untagged, tag: { keyEncryptionKeyId: 'kek', bytes: '\xff\0' } }]]) },
    ],
    [
      'no half a tag',
      {
        secrets: [
          { ...secret, tag_key: 'kek' },
          { ...secret, secret_id: 't', tag: 'ff' },
        ],
      },
      {
        secrets: new Map([
          ['s', untagged],
          ['t', { ...untagged, secretId: 't' }],
        ]),
      },
    ],
    [
      'its keys',
      { keys: [key] },
      {
        keys: [
          {
            thumbprint: 't',
            kid: 'k',
            algorithm: 'ES256',
            publicJwk: { kty: 'EC' },
            expiresAt: 1,
            revokedAt: 2,
          },
        ],
      },
    ],
    [
      'what its assertions may name',
      { assertion_audience: 'token_endpoint' },
      { assertionAudience: 'token_endpoint' },
    ],
    [
      'what names it in its certificate',
      { certificate: ['tls_client_auth_san_dns', 'a.example.com'] },
      { certificateField: { name: 'tls_client_auth_san_dns', value: 'a.example.com' } },
    ],
    [
      'what its certificate must name as well',
      { required_certificate: ['tls_client_auth_san_ip', '10.0.0.1'] },
      { requiredCertificate: { name: 'tls_client_auth_san_ip', value: '10.0.0.1' } },
    ],
    ['tokens bound to its certificate', { certificate_bound: true }, { certificateBoundTokens: true }],
    ['tokens bound to a key', { dpop_bound_access_tokens: true }, { dpopBoundTokens: true }],
    ['the FAPI profile', { fapi: true }, { fapi: true }],
    ['an address of its keys', { jwks_uri: 'https://a/jwks' }, { jwksUri: 'https://a/jwks' }],
    ['claims', { claims: { tenant: 'acme' } }, { claims: { tenant: 'acme' } }],
    [
      'access',
      { access: [{ audience: 'urn:o', scopes: ['read', 'write'] }] },
      { access: new Map([['urn:o', ['read', 'write']]]) },
    ],
  ]
  test.each(cases)('%s', (_what, row, expected) => {
    expect(toClient({ ...bare, ...row })).toEqual({ ...bareClient, ...expected })
  })

  test('the same where a row does not say what was not there yet', () => {
    const { certificate, required_certificate, certificate_bound, fapi, jwks_uri, claims, ...older } = bare
    expect(toClient(older)).toEqual(bareClient)
  })

  test('networks: one that nobody can read admits nobody, and the others those that are in them', () => {
    const admits = (...networks: string[]) =>
      ['10.1.2.3', '192.0.2.1'].filter((address) =>
        networkContains(toClient({ ...bare, networks }).allowedNetworks, address),
      )
    expect(admits('10.0.0.0/8')).toEqual(['10.1.2.3'])
    expect(admits('nonsense', '10.0.0.0/8')).toEqual(['10.1.2.3'])
    expect(admits('nonsense')).toEqual([])
  })
})

describe('a client cannot be read, and has nothing that would get it a token', () => {
  const everything: ClientRow = {
    ...bare,
    method: 'client_secret_basic',
    networks: ['10.0.0.0/8'],
    expires_at: 1,
    secrets: [secret],
    keys: [key],
    assertion_audience: 'token_endpoint',
    dpop_bound_access_tokens: true,
  }
  const cases: readonly (readonly [what: string, row: Partial<ClientRow>])[] = [
    ['claims that cannot be registered', { claims: { iss: 'me' } }],
    ['a scope that is no text', { access: [{ audience: 'urn:o', scopes: [null as unknown as string] }] }],
    ['a list for a scope', { access: [{ audience: 'urn:o', scopes: [['read'] as unknown as string] }] }],
    ['a scope that is two', { access: [{ audience: 'urn:o', scopes: ['fine', 'read write'] }] }],
  ]
  test.each(cases)('with %s', (_what, row) => {
    expect(toClient({ ...everything, ...row })).toEqual({
      clientId: 'billing',
      status: 'unreadable',
      tokenEndpointAuthMethod: 'client_secret_basic',
      allowedNetworks: [],
      expiresAt: undefined,
      secrets: new Map(),
      keys: [],
      assertionAudience: 'token_endpoint',
      dpopBoundTokens: true,
      access: new Map(),
    })
    expect(toClient({ ...everything, ...row, method: null }).tokenEndpointAuthMethod).toBeUndefined()
  })
})

test('a field of a certificate is one with a name and a value', () => {
  const name = 'tls_client_auth_san_uri'
  expect(toField([name, 'urn:a'])).toEqual({ name, value: 'urn:a' })
  for (const half of [undefined, [null, null], [name, null], [null, 'urn:a']] as const)
    expect(toField(half as Parameters<typeof toField>[0])).toBeUndefined()
})

describe('changes', () => {
  const most = limits.registryChangesPerRefreshMax
  const row = {
    version: '5',
    known: false,
    knows_heard: false,
    read_only: false,
    now: '1.5',
    changes: null as [string, string][] | null,
  }
  const many = (count: number) =>
    Array.from({ length: count }, (_, index): [string, string] => ['client', `${index}`])
  const load = async (answer: Partial<typeof row>, since: number, heard?: number) => {
    const asked: unknown[] = []
    const query = async (statement: { values: unknown[] }) => {
      asked.push(statement.values)
      return { rows: [{ ...row, ...answer }] }
    }
    const loaded = await loadChanges({ query } as unknown as Pool, since, heard)
    return { ...loaded, asked }
  }

  const followed: readonly (readonly [
    what: string,
    answer: Partial<typeof row>,
    since: number,
    number | undefined,
  ])[] = [
    ['that is known: all', { known: true, changes: many(2) }, 4, 2],
    ['that is known, without a change: none', { known: true }, 4, 0],
    ['that is not known: cannot be followed', { changes: many(2) }, 4, undefined],
    ['that the database is at, known or not: none', {}, 5, 0],
    ['that is known, as many as can be followed: all', { known: true, changes: many(most) }, 4, most],
    [
      'that is known, one more than that: cannot be followed',
      { known: true, changes: many(most + 1) },
      4,
      undefined,
    ],
  ]
  test.each(followed)('since a version %s', async (_what, answer, since, count) => {
    const loaded = await load(answer, since)
    expect(loaded).toMatchObject({ version: 5, databaseSeconds: 1.5, isReadOnly: false })
    expect(loaded.changes?.length).toBe(count)
  })

  test.each([
    ['that is in its log', true, 4, true],
    ['that is not', false, 4, false],
    ['that it is at', false, 5, true],
    ['before the first change', false, 0, true],
  ])('tell that the database knows a version %s: %s', async (_what, knows_heard, heard, expected) => {
    const loaded = await load({ knows_heard }, 3, heard)
    expect(loaded.knowsHeard).toBe(expected)
    expect(loaded.asked).toEqual([[3, most + 1, heard]])
  })

  test('tell that a standby answered', async () => {
    expect((await load({ read_only: true }, 5)).isReadOnly).toBe(true)
  })
})

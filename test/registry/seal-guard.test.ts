/** What a process believes of rows of clients and resources in a sealed registry, and what it says about them. */
import { describe, expect, test } from 'vitest'
import { type ResourceRow, toResource } from '../../src/registry/resource-store.ts'
import { type ClientRow, toClient } from '../../src/registry/store.ts'
import {
  clientRow,
  guarding,
  resourceRow,
  SealedRows,
  sealedClient,
  sealedResource,
  secretRow,
} from '../support/sealed-rows.ts'

const oneKey: NonNullable<ClientRow['keys']>[number] = {
  thumbprint: 'one',
  kid: 'k1',
  algorithm: 'ES256',
  jwk: { kty: 'EC' },
  expires_at: 900,
  revoked_at: null,
}
/** A client with no column empty. */
const full = clientRow('billing', {
  method: 'private_key_jwt',
  networks: ['10.0.0.0/8', '192.0.2.7'],
  expires_at: 2_000,
  secrets: [secretRow('aaaa', { expires_at: 1_500 }), secretRow('bbbb')],
  keys: [oneKey],
  assertion_audience: 'token_endpoint',
  certificate: ['tls_client_auth_san_dns', 'a.test'],
  required_certificate: ['tls_client_auth_san_uri', 'urn:a'],
  certificate_bound: true,
  dpop_bound_access_tokens: true,
  fapi: true,
  jwks_uri: 'https://a.test/keys',
  claims: { tenant: 'acme' },
  access: [
    { audience: 'urn:a', scopes: ['read', 'write'] },
    { audience: 'urn:b', scopes: ['read'] },
  ],
})
/** A client with every column empty. */
const bare = clientRow('billing')

/** What is believed of a row where another one was registered. */
async function believed(row: ClientRow, registered: ClientRow | undefined) {
  const rows = new SealedRows().register(...(registered === undefined ? [] : [sealedClient(registered)]))
  rows.clients = [row]
  const process = await guarding(rows)
  const { clients } = await process.readClients(row.client_id)
  return { client: clients[0], wrong: process.wrong(), told: process.told }
}

describe('a row of a client', () => {
  test.each([
    ['with every column', full],
    ['without any', bare],
    ['that is disabled', { ...full, status: 'disabled' as const }],
  ])('that is as it was registered counts: %s', async (_, row) => {
    expect(await believed(row, row)).toEqual({ client: toClient(row), wrong: [], told: [] })
  })

  const [access, other] = full.access ?? []
  const taken: readonly [what: string, change: Partial<ClientRow>][] = [
    ['status', { status: 'disabled' }],
    ['the end', { expires_at: 1_000 }],
    ['a network', { networks: ['10.0.0.0/8'] }],
    ['a scope', { access: [{ audience: 'urn:a', scopes: ['read'] }] }],
    ['all access', { access: null }],
    ['all secrets', { secrets: null }],
    ['the keys', { keys: null }],
    ['the address of its keys', { jwks_uri: null }],
    ['what names it in its certificate', { certificate: [null, null] }],
    ['the wider audience of assertions', { assertion_audience: 'issuer' }],
  ]
  test.each(taken)('that takes away counts, and is no problem: %s', async (_, change) => {
    const row = { ...full, ...change }
    expect(await believed(row, full)).toEqual({ client: toClient(row), wrong: [], told: [] })
  })

  const given: readonly [difference: string, change: Partial<ClientRow>, registered?: Partial<ClientRow>][] =
    [
      ['status', { status: 'active' }, { status: 'disabled' }],
      ['expires_at', { expires_at: 2_001 }],
      ['expires_at', { expires_at: null }],
      ['assertion_audience', { assertion_audience: 'token_endpoint' }, { assertion_audience: 'issuer' }],
      ['token_endpoint_auth_method', { method: null }],
      ['dpop_bound_access_tokens', { dpop_bound_access_tokens: false }],
      ['fapi', { fapi: false }],
      ['jwks_uri', { jwks_uri: 'https://b.test/keys' }, { jwks_uri: null }],
      ['allowed_networks', { networks: [] }],
      ['allowed_networks', { networks: [...full.networks, '198.51.100.1'] }],
      ['certificate', { certificate: ['tls_client_auth_san_dns', 'b.test'] }, { certificate: [null, null] }],
      ['required_certificate', { required_certificate: [null, null] }],
      ['certificate_bound_tokens', { certificate_bound: false }],
      ['access urn:c', { access: [...(full.access ?? []), { audience: 'urn:c', scopes: ['read'] }] }],
      [
        'access urn:b',
        { access: [access, { audience: 'urn:b', scopes: ['read', 'write'] }] as ClientRow['access'] },
      ],
      ['secret cccc', { secrets: [...(full.secrets ?? []), secretRow('cccc')] }],
      ['secret aaaa', { secrets: [secretRow('aaaa', { expires_at: null }), secretRow('bbbb')] }],
      [
        'client_key two',
        {
          keys: [...(full.keys ?? []), { ...oneKey, thumbprint: 'two' }],
        },
      ],
    ]
  test.each(given)('that gives more counts as it was registered: %s %j', async (difference, change, more) => {
    const registered = { ...full, ...more }
    const { client, wrong, told } = await believed({ ...registered, ...change }, registered)
    expect(client).toEqual(toClient(registered))
    expect(wrong).toEqual([`client billing: ${difference}`])
    expect(told).toEqual(wrong)
  })

  test('that gives more counts as it was registered, also where nothing else is', async () => {
    const registered = { ...bare, status: 'disabled' as const }
    const { client, wrong } = await believed(bare, registered)
    expect(client).toEqual(toClient(registered))
    expect(wrong).toEqual(['client billing: status'])
  })

  test('that gives more in each of its parts counts as it was registered, and each is named', async () => {
    const keys = [oneKey, { ...oneKey, thumbprint: 'two' }]
    const secrets = [...(full.secrets ?? []), secretRow('cccc')]
    const { client, wrong } = await believed({ ...full, fapi: false, secrets, keys }, full)
    expect(client).toEqual(toClient(full))
    expect(wrong).toEqual(['client billing: fapi, secret cccc, client_key two'])
    const parts = await believed({ ...full, secrets, keys }, full)
    expect(parts.client).toEqual(toClient(full))
    expect(parts.wrong).toEqual(['client billing: secret cccc, client_key two'])
  })

  test('that gives and takes gives nothing and takes', async () => {
    const { client, wrong } = await believed(
      { ...full, fapi: false, expires_at: 1_000, access: [other] as never },
      full,
    )
    expect(client).toEqual(toClient({ ...full, expires_at: 1_000, access: [other] as never }))
    expect(wrong).toEqual(['client billing: fapi'])
  })

  test('with another hash of a secret has that secret no more, and keeps the others', async () => {
    const { client, wrong } = await believed(
      {
        ...full,
        secrets: [secretRow('aaaa', { expires_at: 1_500, hash: '$argon2id$other' }), secretRow('bbbb')],
      },
      full,
    )
    expect(client).toEqual(toClient({ ...full, secrets: [secretRow('bbbb')] }))
    expect(wrong).toEqual(['client billing: secret aaaa'])
  })

  test('keeps a revoked secret and a revoked key that nobody registered, for the reason of the refusal', async () => {
    const revoked = {
      ...bare,
      secrets: [secretRow('aaaa', { revoked_at: 5 })],
      keys: [{ ...oneKey, revoked_at: 5 }],
    }
    expect(await believed(revoked, bare)).toEqual({ client: toClient(revoked), wrong: [], told: [] })
  })

  const contradictions: readonly [difference: string, change: Partial<ClientRow>][] = [
    ['token_endpoint_auth_method', { method: 'client_secret_basic' }],
    ['claims', { claims: { tenant: 'other' } }],
    ['claims', { claims: null }],
    ['required_certificate', { required_certificate: ['tls_client_auth_san_uri', 'urn:b'] }],
    ['allowed_networks', { networks: ['198.51.100.1'] }],
  ]
  test.each(contradictions)(
    'that has nothing in common with its statement is unsealed: %s',
    async (difference, change) => {
      const { client, wrong } = await believed({ ...full, ...change }, full)
      expect(client?.status).toBe('unsealed')
      expect(wrong).toEqual([`client billing: ${difference}`])
    },
  )

  test.each([
    ['active', 'unsealed', ['unregistered', 'secret aaaa', 'secret bbbb', 'client_key one']],
    // The reason of its refusal is what the row takes away.
    ['disabled', 'disabled', ['unregistered', 'secret aaaa', 'secret bbbb', 'client_key one']],
    ['deleted', 'deleted', ['secret aaaa', 'secret bbbb', 'client_key one']],
  ] as const)(
    'that nobody registered and is %s is %s, and has no secret and no key',
    async (status, then, differences) => {
      const { client, wrong } = await believed({ ...full, status }, undefined)
      expect(client).toMatchObject({ clientId: 'billing', status: then, secrets: new Map(), keys: [] })
      expect(wrong).toEqual([`client billing: ${differences.join(', ')}`])
    },
  )

  test('that was registered under another name is not registered', async () => {
    const { client, wrong } = await believed({ ...bare, client_id: 'copy' }, bare)
    expect([client?.status, wrong]).toEqual(['unsealed', ['client copy: unregistered']])
  })

  test('that cannot be read is refused for that, registered or not, and is no problem of the seal', async () => {
    const unreadable = { ...full, access: [{ audience: 'urn:a', scopes: [7 as never] }] }
    for (const registered of [full, undefined]) {
      const { client, wrong } = await believed(unreadable, registered)
      expect(client).toEqual(toClient(unreadable))
      expect([client?.status, wrong]).toEqual(['unreadable', []])
    }
  })

  test('whose statement is spoiled is unsealed; another client is served', async () => {
    const [billing, orders] = [clientRow('billing', { secrets: [secretRow('aaaa')] }), clientRow('orders')]
    const rows = new SealedRows().register(sealedClient(billing), sealedClient(orders))
    rows.clients = [billing, orders]
    const { readClients, wrong } = await guarding(rows)
    rows.spoil('client', 'billing')
    const { clients } = await readClients('billing', 'orders')
    expect(clients).toEqual([
      { ...toClient(billing), status: 'unsealed', secrets: new Map() },
      toClient(orders),
    ])
    expect(wrong()).toEqual(['client billing: tree_damaged'])
  })

  test('is a problem no more when it is right again', async () => {
    const rows = new SealedRows().register(sealedClient(bare))
    rows.clients = [{ ...bare, status: 'deleted' }]
    rows.register(sealedClient({ ...bare, status: 'deleted' }))
    rows.clients = [bare]
    const { readClients, wrong, told } = await guarding(rows)
    await readClients('billing')
    await readClients('billing')
    expect(wrong()).toEqual(['client billing: status'])
    rows.clients = [{ ...bare, status: 'deleted' }]
    await readClients('billing')
    expect([wrong(), told]).toEqual([[], ['client billing: status']])
  })
})

describe('a row of a resource', () => {
  const registered = resourceRow('urn:a')
  const client = clientRow('billing', { access: [{ audience: 'urn:a', scopes: ['read', 'write'] }] })
  async function believedResource(row: ResourceRow, isSealed = true) {
    const rows = new SealedRows().register(
      sealedClient(client),
      ...(isSealed ? [sealedResource(registered)] : []),
    )
    rows.clients = [client]
    rows.resources = [row]
    const process = await guarding(rows)
    const { resources, unsealedResources, clients } = await process.readClients('billing')
    expect(clients, 'the client is what it was').toEqual([toClient(client)])
    return { resources, unsealedResources, wrong: process.wrong() }
  }

  test.each<[string, ResourceRow, ResourceRow, readonly string[]]>([
    ['as it was registered', registered, registered, []],
    [
      'takes away',
      { ...registered, scopes: ['read'], lifetime: 60 },
      { ...registered, scopes: ['read'], lifetime: 60 },
      [],
    ],
    ['gives a scope', { ...registered, scopes: ['read', 'write', 'all'] }, registered, ['scopes']],
    ['gives a longer life', { ...registered, lifetime: 301 }, registered, ['token_lifetime_seconds']],
  ])('counts as far as it was registered: %s', async (_, row, counts, differences) => {
    const { resources, unsealedResources, wrong } = await believedResource(row)
    expect([resources, unsealedResources]).toEqual([[toResource(counts)], []])
    expect(wrong).toEqual(differences.map((each) => `resource urn:a: ${each}`))
  })

  test.each<[string, ResourceRow, boolean]>([
    ['signing_algorithm', { ...registered, algorithm: 'RS256' }, true],
    ['token_typ', { ...registered, typ: 'JWT' }, true],
    ['external', { ...registered, external: true }, true],
    ['claims', { ...registered, claims: { tenant: 'acme' } }, true],
    ['unregistered', registered, false],
  ])('that is another resource is none: %s', async (difference, row, isSealed) => {
    const { resources, unsealedResources, wrong } = await believedResource(row, isSealed)
    expect([resources, unsealedResources]).toEqual([[], ['urn:a']])
    expect(wrong).toEqual([`resource urn:a: ${difference}`])
  })

  test('whose statement is spoiled is none', async () => {
    const rows = new SealedRows().register(sealedClient(client), sealedResource(registered))
    rows.clients = [client]
    rows.resources = [registered]
    rows.spoil('resource', 'urn:a')
    const { readClients, wrong } = await guarding(rows)
    expect(await readClients('billing')).toMatchObject({ resources: [], unsealedResources: ['urn:a'] })
    expect(wrong()).toEqual(['resource urn:a: tree_damaged'])
  })
})

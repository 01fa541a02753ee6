/** What is read of the registry, on a real PostgreSQL: all of a client and its resources, and what changed since a version. */

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/database/open.ts'
import { networkContains } from '../../src/lib/network.ts'
import { limits } from '../../src/limits.ts'
import {
  algorithmsInUse,
  clientsStatement,
  loadChanges,
  loadClients,
  readPresences,
} from '../../src/registry/store.ts'
import { type FreshDatabase, freshDatabase, openPool } from '../support/database.ts'

const orders = 'https://orders.example.com'
const invoices = 'https://invoices.example.com'

let database: FreshDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await freshDatabase()
  pool = openPool({ connectionString: database.url, max: 1 })
  await database.query(
    `INSERT INTO resource (audience, name, scopes, token_lifetime_seconds, signing_algorithm, token_typ) VALUES
       ($1, 'Orders', '{orders:read,orders:write}', 300, 'RS256', 'JWT'), ($2, 'Invoices', '{}', 60, 'ES256', DEFAULT)`,
    [orders, invoices],
  )
  await database.query(
    `UPDATE resource SET external = true, subject_form = 'system:client:{client_id}', claims = '{"level": 3, "list": ["a"]}'
      WHERE audience = $1`,
    [orders],
  )
  await database.query(
    `INSERT INTO client (client_id, name, status, token_endpoint_auth_method, allowed_networks, expires_at) VALUES
       ('full', 'Full', 'disabled', 'client_secret_post', '{10.0.0.0/8,2001:db8::/32}', '2027-01-15 08:00:00.999Z'),
       ('bare', 'Bare', DEFAULT, DEFAULT, DEFAULT, NULL),
       ('odd', 'Odd', DEFAULT, DEFAULT, '{10.0.0.0/8,nonsense}', NULL)`,
  )
  await database.query(`UPDATE client SET claims = '{"tenant": "acme"}' WHERE client_id = 'full'`)
  await database.query(
    `INSERT INTO client_secret (secret_id, client_id, hash, hint, expires_at, revoked_at) VALUES
       ('secret01', 'full', 'hash 1', '', NULL, NULL),
       ('secret02', 'full', 'hash 2', '', '2027-01-15 08:00:00Z', '2027-01-15 09:00:00.5Z')`,
  )
  await database.query(
    `INSERT INTO access (client_id, audience, scopes) VALUES ('full', $1, '{orders:read}'), ('full', $2, '{}'),
       ('odd', $2, '{}')`,
    [orders, invoices],
  )
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

async function currentVersion(): Promise<number> {
  const [row] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  return Number(row?.version)
}

describe('clients', () => {
  test('have everything that is registered of them, times in whole seconds', async () => {
    const { version, clients, resources } = await loadClients(pool, ['full'])
    expect(version).toBe(await currentVersion())
    expect(clients).toEqual([
      {
        clientId: 'full',
        status: 'disabled',
        tokenEndpointAuthMethod: 'client_secret_post',
        allowedNetworks: [expect.anything(), expect.anything()],
        expiresAt: 1_800_000_000,
        secrets: new Map([
          ['secret01', { secretId: 'secret01', hash: 'hash 1', expiresAt: undefined, revokedAt: undefined }],
          [
            'secret02',
            { secretId: 'secret02', hash: 'hash 2', expiresAt: 1_800_000_000, revokedAt: 1_800_003_600 },
          ],
        ]),
        keys: [],
        assertionAudience: 'issuer',
        certificateBoundTokens: false,
        dpopBoundTokens: false,
        claims: { tenant: 'acme' },
        access: new Map([
          [orders, ['orders:read']],
          [invoices, []],
        ]),
      },
    ])
    expect([...resources].sort((one, other) => (one.audience > other.audience ? -1 : 1))).toEqual([
      {
        audience: orders,
        scopes: new Set(['orders:read', 'orders:write']),
        tokenLifetimeSeconds: 300,
        signingAlgorithm: 'RS256',
        tokenTyp: 'JWT',
        external: true,
        subjectForm: 'system:client:{client_id}',
        claims: { level: 3, list: ['a'] },
      },
      {
        audience: invoices,
        scopes: new Set(),
        tokenLifetimeSeconds: 60,
        signingAlgorithm: 'ES256',
        tokenTyp: 'at+jwt',
      },
    ])
    const networks = clients[0]?.allowedNetworks ?? []
    expect(['10.1.2.3', '2001:db8::1'].map((address) => networkContains(networks, address))).toEqual([
      true,
      true,
    ])
    expect(networkContains(networks, '192.0.2.1')).toBe(false)
  })

  test('may have nothing but a name', async () => {
    const { clients, resources } = await loadClients(pool, ['bare'])
    expect(clients).toEqual([
      {
        clientId: 'bare',
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
      },
    ])
    expect(resources).toEqual([])
  })

  test('that nobody can read the network of get in from the others, and from nowhere else', async () => {
    const { clients } = await loadClients(pool, ['odd'])
    const networks = clients[0]?.allowedNetworks ?? []
    expect(networks).toHaveLength(2)
    expect(networkContains(networks, '10.1.2.3')).toBe(true)
    for (const address of ['192.0.2.1', '0.0.0.0', '255.255.255.254', '::1'])
      expect(networkContains(networks, address)).toBe(false)
  })

  test('are those that are asked for', async () => {
    const { clients, resources } = await loadClients(pool, ['bare', 'nobody', 'odd'])
    expect(clients.map(({ clientId }) => clientId).sort()).toEqual(['bare', 'odd'])
    expect(resources.map(({ audience }) => audience)).toEqual([invoices])
    expect((await loadClients(pool, [])).clients).toEqual([])
    expect((await loadClients(pool, ['nobody'])).version).toBe(await currentVersion())
  })
})

test('what exists of clients and secrets is told in the order in which it was asked for', async () => {
  const presencesOf = async (...pairs: readonly (readonly [string, string])[]) =>
    (await readPresences(pool, pairs)).map(({ version: _, ...presence }) => presence)
  const full = { status: 'disabled', expiresAt: 1_800_000_000, hasSecrets: true }
  const bare = { status: 'active', expiresAt: undefined, hasSecrets: false }
  expect(
    await presencesOf(
      ['full', 'secret02'],
      ['nobody', 'secret01'],
      ['bare', 'secret01'],
      ['full', 'secret03'],
      ['full', 'secret01'],
    ),
  ).toEqual([
    { client: full, hasSecret: true },
    { client: undefined, hasSecret: false },
    { client: bare, hasSecret: false },
    { client: full, hasSecret: false },
    { client: full, hasSecret: true },
  ])
  expect(await presencesOf()).toEqual([])
  const [presence] = await readPresences(pool, [['', '']])
  expect(presence?.version).toBe(await currentVersion())
})

test('the algorithms in use are those that resources name, each once', async () => {
  const opened = openDatabase(database.url)
  try {
    await database.query(
      `INSERT INTO resource (audience, name, scopes, signing_algorithm) VALUES ('urn:third', 'Third', '{}', 'RS256')`,
    )
    expect((await algorithmsInUse(opened.statements)).toSorted()).toEqual(['ES256', 'RS256'])
  } finally {
    await database.query(`DELETE FROM resource WHERE audience = 'urn:third'`)
    await opened.close()
  }
})

describe('changes', () => {
  test('since the version that the database is at are none', async () => {
    const before = Date.now() / 1_000
    const version = await currentVersion()
    const loaded = await loadChanges(pool, version)
    expect(loaded).toEqual({
      version,
      knowsHeard: true,
      isReadOnly: false,
      databaseSeconds: expect.any(Number),
      changes: [],
    })
    // One machine, one clock.
    expect(loaded.databaseSeconds).toBeGreaterThan(before - 5)
    expect(loaded.databaseSeconds).toBeLessThan(Date.now() / 1_000 + 5)
  })

  test('are the clients, resources and keys that were touched, each once', async () => {
    const before = await currentVersion()
    await database.query(`UPDATE client SET name = 'Other' WHERE client_id IN ('full', 'bare')`)
    await database.query(`UPDATE client_secret SET hint = 'x' WHERE secret_id = 'secret01'`)
    await database.query('UPDATE resource SET name = $2 WHERE audience = $1', [orders, 'Other'])
    const { version, changes } = await loadChanges(pool, before)
    expect(version).toBe(await currentVersion())
    expect(changes?.map((change) => change.join(' ')).sort()).toEqual([
      'client bare',
      'client full',
      `resource ${orders}`,
    ])
  })

  test('since that version are none also where nothing is known of how it came about', async () => {
    const version = await currentVersion()
    await database.query('DELETE FROM registry_change_set WHERE version = $1', [version])
    expect((await loadChanges(pool, version)).changes).toEqual([])
  })

  test('cannot be followed from a version that the database does not know', async () => {
    expect((await loadChanges(pool, 1)).changes).toBeUndefined()
    expect((await loadChanges(pool, Number.MAX_SAFE_INTEGER)).changes).toBeUndefined()
  })

  test('tell whether the database knows another version, as that of a commit', async () => {
    const version = await currentVersion()
    await database.query(`UPDATE client SET name = 'Known' WHERE client_id = 'bare'`)
    expect((await loadChanges(pool, version, await currentVersion())).knowsHeard).toBe(true)
    expect((await loadChanges(pool, version, Number.MAX_SAFE_INTEGER)).knowsHeard).toBe(false)
  })

  test('are followed up to so many', async () => {
    await database.query(`UPDATE client SET name = 'Another' WHERE client_id = 'bare'`)
    const before = await currentVersion()
    const most = limits.registryChangesPerRefreshMax
    const register = (count: number) =>
      database.query(
        `INSERT INTO client (client_id, name) SELECT 'many-' || gen_random_uuid(), '' FROM generate_series(1, $1::int)`,
        [count],
      )
    await register(most)
    expect((await loadChanges(pool, before)).changes).toHaveLength(most)
    await register(1)
    expect((await loadChanges(pool, before)).changes).toBeUndefined()
  })
})

test('clients are read by indexes, even if the plan was made without statistics or before there were tags', async () => {
  const large = await freshDatabase()
  try {
    await large.query(`INSERT INTO resource (audience, name, scopes) VALUES ('busy', 'Busy', '{}')`)
    await large.query(
      `INSERT INTO client (client_id, name) SELECT 'client-' || n, 'Client' FROM generate_series(1, 10000) AS n`,
    )
    await large.query(
      `INSERT INTO client_secret (secret_id, client_id, hash, hint)
       SELECT lpad(n::text, 8, '0'), 'client-' || n, 'hash', '' FROM generate_series(1, 10000) AS n`,
    )
    // No tags yet: a connection keeps the plan that it made before they came.
    await large.query(
      `INSERT INTO access (client_id, audience, scopes) SELECT client_id, 'busy', '{}' FROM client`,
    )
    const plan = await genericPlan(large, clientsStatement)
    expect(plan).toContain('client_secret_tag')
    expect(plan).not.toMatch(/Seq Scan on (?:client|client_secret|client_secret_tag|access)\b/)
    expect(plan).not.toContain('access_audience_idx')
  } finally {
    await large.drop()
  }
})

/** The plan that a prepared statement keeps, whatever its values are. */
async function genericPlan({ url }: FreshDatabase, statement: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query("SET plan_cache_mode = 'force_generic_plan'")
    await client.query(`PREPARE reading (text[]) AS ${statement}`)
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN (COSTS OFF) EXECUTE reading ('{}')`,
    )
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  } finally {
    await client.end()
  }
}

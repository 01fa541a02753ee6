/** The trust table in memory is as of the version of the rest of the registry, whatever changes while it is read. */
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pool } from '../../src/database/open.ts'
import { Registry } from '../../src/registry/registry.ts'
import { type FreshDatabase, freshDatabase, openPool } from '../support/database.ts'

let database: FreshDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await freshDatabase()
  pool = openPool({ connectionString: database.url, max: 4 })
  pool.on('error', () => {})
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

/** A registry of which a test says what happens after a read, before the registry has its answer. */
async function openRegistry() {
  const hooks = { after: undefined as ((name: string) => Promise<unknown>) | undefined }
  const query = async (statement: { name: string }) => {
    const answer = await pool.query(statement as pg.QueryConfig)
    await hooks.after?.(statement.name)
    return answer
  }
  const registry = new Registry({
    pool: { query } as unknown as Pool,
    monotonicMilliseconds: () => 50_000,
    wait: (_milliseconds, then) => setImmediate(then),
    clientsMax: 10,
    onKeysChanged: async () => {},
    onMisled: () => {},
    onDatabaseTime: () => {},
    onFault: () => {},
    onRecovered: () => {},
  })
  await registry.open()
  return { registry, hooks }
}

let named = 0
const next = (): string => {
  named += 1
  return `https://${named}.example.com`
}
const trust = (issuer: string) => database.query('INSERT INTO trusted_issuer (issuer) VALUES ($1)', [issuer])

test('the table is forgotten when an issuer, a workload or a resource changed, and for nothing else', async () => {
  // A database in which nothing ever changed has no version to compare with.
  await trust(next())
  const { registry } = await openRegistry()
  const table = await registry.trust()
  expect(await registry.trust()).toBe(table)
  expect(registry.trustNow()).toBe(table)

  await database.query(`INSERT INTO client (client_id, name) VALUES ('a', 'a')`)
  await registry.refresh()
  expect(registry.trustNow()).toBe(table)

  const issuer = next()
  const changes: readonly (() => Promise<unknown>)[] = [
    () => trust(issuer),
    () =>
      database.query('INSERT INTO blocked_workload (workload_id) VALUES ($1)', [
        `workload:${'a'.repeat(43)}`,
      ]),
    () =>
      database.query(
        `INSERT INTO resource (audience, name, scopes, token_lifetime_seconds) VALUES ($1, 'x', '{}', 60)`,
        [next()],
      ),
    // What changed since is not known any more.
    async () => {
      await database.query(`UPDATE client SET name = 'b'`)
      await database.query('DELETE FROM registry_change_set')
    },
  ]
  for (const change of changes) {
    const before = await registry.trust()
    await change()
    await registry.refresh()
    expect(registry.trustNow()).toBeUndefined()
    expect(await registry.trust()).not.toBe(before)
  }
  const now = await registry.trust()
  expect([...now.issuers.keys(), ...now.blocked]).toEqual([
    'https://1.example.com',
    issuer,
    `workload:${'a'.repeat(43)}`,
  ])
  await registry.close()
})

test('a table that was read before a change is never one of after the change', async () => {
  const { registry, hooks } = await openRegistry()
  const issuer = next()
  hooks.after = async (name) => {
    if (name !== 'registry_trust') return
    hooks.after = undefined
    await trust(issuer)
    await registry.refresh()
  }
  const table = await registry.trust()
  expect(table.issuers.has(issuer)).toBe(true)
  expect(registry.trustNow()).toBe(table)
  await registry.close()
})

test.each([
  ['a secret', (registry: Registry) => registry.lookUp('a', 'b')],
  ['a key', (registry: Registry) => registry.lookUpKeys('a', undefined)],
  ['a certificate', (registry: Registry) => registry.lookUpCertified('a', () => false)],
  ['the trust table', (registry: Registry) => registry.trust()],
])('closing waits while %s is looked up', async (_what, read) => {
  const { registry, hooks } = await openRegistry()
  const held = Promise.withResolvers<void>()
  let reads = 0
  hooks.after = async () => {
    reads += 1
    await held.promise
  }
  const reading = read(registry)
  await expect.poll(() => reads).toBe(1)
  let isClosed = false
  const closed = registry.close().then(() => {
    isClosed = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(isClosed).toBe(false)
  held.resolve()
  await closed
  await reading
})

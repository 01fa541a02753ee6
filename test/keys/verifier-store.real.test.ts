/** Who fetched the keys is remembered, and whoever makes up names can neither fill the table nor push others out of it. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Database, openDatabase } from '../../src/database/open.ts'
import { type Fetch, lastFetchAt, listVerifiers, openVerifiers } from '../../src/keys/verifier-store.ts'
import { limits } from '../../src/limits.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

let fresh: FreshDatabase
let database: Database
beforeAll(async () => {
  fresh = await freshDatabase()
  database = openDatabase(fresh.url)
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})
beforeEach(() => fresh.query('TRUNCATE verifier'))

const start = Date.now() - 3_600_000
const fetchOf = (name: string | undefined, address = '10.0.0.1', time = start): Fetch => ({
  name,
  address,
  userAgent: 'probe/1',
  kids: ['k'],
  time,
})

/** What one process notes between two writes. */
async function note(...fetches: readonly Fetch[]): Promise<void> {
  const verifiers = openVerifiers(database.statements, (error) => {
    throw error
  })
  for (const fetch of fetches) verifiers.note(fetch)
  await verifiers.close()
}

const names = async (): Promise<string[]> => (await listVerifiers(database.prisma)).map(({ name }) => name)

/** So many names that somebody makes up. */
const madeUp = (count: number, address: (index: number) => string, time = start): Fetch[] =>
  Array.from({ length: count }, (_, index) => fetchOf(`made-up-${time}-${index}`, address(index), time))

test('one address notes so many new names at a time, also with many addresses of one IPv6 network', async () => {
  for (const address of [() => '192.0.2.1', (index: number) => `2001:db8::${index.toString(16)}`]) {
    await fresh.query('TRUNCATE verifier')
    await note(...madeUp(5_000, address), fetchOf('orders', '10.0.0.9'))
    const kept = await names()
    expect(kept).toHaveLength(limits.verifiersNewPerAddressMax + 2)
    expect(kept).toContain('orders')
    expect(kept).toContain('others')
  }
})

test('and all of them together so many', async () => {
  await note(...madeUp(5_000, (index) => `192.0.${index >> 8}.${index & 255}`))
  expect(await names()).toHaveLength(limits.verifiersNewMax + 1)
})

test('a name that has a row is noted in the middle of a flood', async () => {
  const verifiers = openVerifiers(database.statements, () => {})
  const [flood, later] = [madeUp(2_000, () => '192.0.2.1'), start + 60_000]
  await note(fetchOf('orders', '192.0.2.1'))
  verifiers.note(fetchOf('orders', '192.0.2.1', start + 1))
  // The first write tells this process that the row is there.
  await verifiers.close()
  for (const fetch of flood) verifiers.note(fetch)
  verifiers.note(fetchOf('orders', '192.0.2.1', later))
  await verifiers.close()
  const row = (await listVerifiers(database.prisma)).find(({ name }) => name === 'orders')
  expect(row?.lastFetchedAt).toBe(Math.floor(later / 1000))
})

test('who came back is not pushed out by who is new, of its own address and of all', async () => {
  const real = ['orders', 'invoices'].map((name) => fetchOf(name, '192.0.2.1'))
  await note(...real)
  await note(...real.map((fetch) => ({ ...fetch, time: start + 300_000 })))
  // A stranger who has all the time there is.
  await fresh.query(
    `INSERT INTO verifier (name, named, address, network, first_fetched_at, last_fetched_at, kids)
     SELECT 'made-up-' || n, true, 'a', CASE WHEN n % 5 = 0 THEN '192.0.2.1' ELSE (n % 1000)::text END, now(), now(), '{}'
       FROM generate_series(1, 20000) AS n`,
  )
  await note(...madeUp(50, () => '192.0.2.1', start + 600_000))
  const kept = await names()
  expect(kept).toContain('orders')
  expect(kept).toContain('invoices')
  expect(kept.length).toBeLessThanOrEqual(limits.verifiersNotedMax)
  const [{ count = 0 } = {}] = await fresh.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM verifier WHERE network = '192.0.2.1'",
  )
  // The latest fetch of all stays beside them.
  expect(count).toBeLessThanOrEqual(limits.verifiersPerAddressMax + 1)
})

test('the moment of the latest fetch is that of all, also of those who are beyond the bounds', async () => {
  const late = start + 5_000
  await fresh.query(
    `INSERT INTO verifier (name, named, address, network, first_fetched_at, last_fetched_at, kids)
     SELECT 'long-known-' || n, true, 'a', n::text, now() - interval '2 days', now() - interval '1 day', '{}'
       FROM generate_series(1, $1) AS n`,
    [limits.verifiersNotedMax],
  )
  await note(
    ...madeUp(limits.verifiersNewPerAddressMax, () => '192.0.2.1'),
    fetchOf('late', '192.0.2.1', late),
  )
  expect(await lastFetchAt(database.prisma)).toBe(Math.floor(late / 1000))
})

test('what could not be written is written later, and is not newer than what came meanwhile', async () => {
  const faults: unknown[] = []
  const verifiers = openVerifiers(database.statements, (error) => faults.push(error))
  verifiers.note(fetchOf('orders', '10.0.0.1', start))
  verifiers.note(fetchOf('invoices', '10.0.0.2', start))
  await fresh.query('ALTER TABLE verifier RENAME TO verifier_away')
  await verifiers.close()
  expect(faults).toHaveLength(1)
  verifiers.note(fetchOf('orders', '10.0.0.1', start + 5_000))
  await fresh.query('ALTER TABLE verifier_away RENAME TO verifier')
  await verifiers.close()
  const seen = (await listVerifiers(database.prisma)).map(({ name, lastFetchedAt }) => [name, lastFetchedAt])
  expect(seen).toEqual([
    ['orders', Math.floor((start + 5_000) / 1000)],
    ['invoices', Math.floor(start / 1000)],
  ])
})

test('while the database is away, what is noted stays within the same bounds', async () => {
  const verifiers = openVerifiers(database.statements, () => {})
  await fresh.query('ALTER TABLE verifier RENAME TO verifier_away')
  for (const time of [start, start + 1_000, start + 2_000]) {
    for (const fetch of madeUp(5_000, (index) => `192.0.${index >> 8}.${index & 255}`, time))
      verifiers.note(fetch)
    await verifiers.close()
  }
  await fresh.query('ALTER TABLE verifier_away RENAME TO verifier')
  await verifiers.close()
  expect(await names()).toHaveLength(limits.verifiersNewMax + 1)
  expect(await lastFetchAt(database.prisma)).toBe(Math.floor((start + 2_000) / 1000))
})

/** The ledger is followed on a real PostgreSQL: no record is missed and none is told twice, whatever the order they come in. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Database, openDatabase } from '../../src/database/open.ts'
import { appendRecords } from '../../src/ledger/chain-store.ts'
import { LedgerTail } from '../../src/ledger/follow.ts'
import type { AuditEntry, AuditFilter } from '../../src/ledger/query.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import * as store from '../../src/ledger/record-store.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

const now = 1_800_000_000_000
const minute = 60_000

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  database = openDatabase(fresh.url)
})
afterEach(async () => {
  await fresh.query('TRUNCATE audit_record, audit_chain RESTART IDENTITY')
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

vi.mock('../../src/ledger/record-store.ts', { spy: true })

const started: AuditRecord = { time: now, type: 'service', outcome: 'started' }
const stopped: AuditRecord = { time: now, type: 'service', outcome: 'stopped' }
const token = (clientId: string, time = now): AuditRecord => ({
  time,
  type: 'token',
  outcome: 'issued',
  clientId,
})
const created = (clientId: string): AuditRecord => ({
  time: now,
  type: 'client',
  outcome: 'created',
  clientId,
})

/** Writes a chain as a command does: all of it at once. */
const write = (...records: AuditRecord[]) => appendRecords(database.statements, records, '1.2.3')

/** Goes on with a chain, as a service does. What follows never looks at hashes. */
const append = (chain: number, ...records: AuditRecord[]) =>
  fresh.query(
    `INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
     SELECT $1, (SELECT coalesce(max(seq), 0) FROM audit_record WHERE chain = $1) + n, to_timestamp((r ->> 'time')::float8 / 1000),
            r ->> 'type', r ->> 'outcome', r ->> 'clientId', sha256('')
       FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS t (r, n)`,
    [chain, JSON.stringify(records)],
  )

const names = (entries: readonly AuditEntry[]) => entries.map((entry) => entry.clientId ?? entry.outcome)

async function read(tail: LedgerTail, filter: AuditFilter = {}, at = now): Promise<string[]> {
  const told: string[] = []
  for await (const entries of tail.read(database.prisma, filter, at)) {
    expect(entries.length, 'an empty part tells nothing').toBeGreaterThan(0)
    told.push(...names(entries))
  }
  return told
}

/** The chains that were last asked for, with the place in each. */
const lastPlaces = () =>
  vi
    .mocked(store.findRecordsAfter)
    .mock.calls.at(-1)?.[1]
    .map(({ chain, seq }) => `${chain} after ${seq}`)

/** The numbers of chains that were last looked for although they were skipped. */
const lastGaps = () => vi.mocked(store.findChainsAfter).mock.calls.at(-1)?.[2]

async function startTail(filter: AuditFilter = {}, limit = 0) {
  const tail = new LedgerTail()
  const before = await tail.start(database, filter, limit, now + 1)
  return { tail, before: names(before) }
}

describe('the start', () => {
  test('tells the newest records, and what follows is what was written since', async () => {
    await write(started, token('a'), token('b'))
    const { tail, before } = await startTail({}, 2)
    expect(before).toEqual(['a', 'b'])
    expect(await read(tail)).toEqual([])
    await append(1, token('c'))
    expect(await read(tail)).toEqual(['c'])
    expect(await read(tail)).toEqual([])
    await append(1, token('d'))
    expect(await read(tail), 'its service has not stopped').toEqual(['d'])
  })

  test('tells of the past what the filter asks for, and nothing where nothing is wanted', async () => {
    await write(started, token('a'), token('b'))
    expect((await startTail({ clientId: 'a' }, 5)).before).toEqual(['a'])
    const finds = vi.mocked(store.findRecords).mock.calls.length
    expect((await startTail({}, 0)).before).toEqual([])
    expect(vi.mocked(store.findRecords).mock.calls).toHaveLength(finds)
  })

  test('on an empty ledger is one as well', async () => {
    const { tail, before } = await startTail({}, 5)
    expect(before).toEqual([])
    expect(await read(tail)).toEqual([])
    await write(started, token('a'))
    expect(await read(tail)).toEqual(['started', 'a'])
  })

  test('follows only chains that may still grow', async () => {
    await write(started, token('a'))
    await write(started, stopped)
    await write(created('b'))
    const { tail } = await startTail()
    await read(tail)
    expect(lastPlaces()).toEqual(['1 after 2'])
    await write(started)
    expect(await read(tail)).toEqual(['started'])
    expect(lastPlaces()).toEqual(['1 after 2', '4 after 0'])
    await read(tail)
    expect(lastPlaces()).toEqual(['1 after 2', '4 after 1'])
  })

  test('follows a service whose first record was deleted', async () => {
    await write(started, token('a'))
    await fresh.query('DELETE FROM audit_record WHERE seq = 1')
    const { tail } = await startTail()
    await read(tail)
    await append(1, token('b'))
    expect(await read(tail)).toEqual(['b'])
  })
})

describe('what is told', () => {
  test('is what the filter asks for; the rest is passed all the same', async () => {
    await write(started)
    const { tail } = await startTail()
    await append(1, token('a'), token('b'), token('a'))
    expect(await read(tail, { clientId: 'b' })).toEqual(['b'])
    expect(await read(tail)).toEqual([])
  })

  test('comes in the order of time, then of chains, then of their records', async () => {
    await write(started)
    await write(started)
    const { tail } = await startTail()
    await append(2, token('d', now + 5), token('e', now + 5), token('a', now + 1))
    await append(1, token('b', now + 5), token('c', now + 5), token('f', now + 9))
    expect(await read(tail)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  })

  test('comes in parts where there is much of it, and all of it comes', async () => {
    await write(started)
    const { tail } = await startTail()
    const many = Array.from({ length: 4_000 }, (_, index) => token(`client ${index}`, now + index))
    await append(1, ...many)
    await append(1, token('last', now + 5_000))
    const parts: number[] = []
    const told: string[] = []
    for await (const entries of tail.read(database.prisma, {}, now)) {
      parts.push(entries.length)
      told.push(...names(entries))
    }
    expect(parts).toEqual([2_000, 2_000, 1])
    expect(told).toEqual([...many.map(({ clientId }) => clientId), 'last'])
    expect(await read(tail)).toEqual([])
  })
})

describe('a chain', () => {
  test('of a service is followed until the service has stopped', async () => {
    const { tail } = await startTail()
    await write(started, token('a'))
    expect(await read(tail)).toEqual(['started', 'a'])
    await append(1, token('b'))
    expect(await read(tail)).toEqual(['b'])
    await append(1, stopped)
    expect(await read(tail)).toEqual(['stopped'])
    await read(tail)
    expect(lastPlaces()).toEqual([])
  })

  test('of a command is whole once it is seen', async () => {
    const { tail } = await startTail()
    await write(created('a'), created('b'))
    expect(await read(tail)).toEqual(['a', 'b'])
    await read(tail)
    expect(lastPlaces()).toEqual([])
  })

  test('of a command that is longer than one part is read to its end', async () => {
    const { tail } = await startTail()
    await write(...Array.from({ length: 2_001 }, (_, index) => created(`client ${index}`)))
    expect(await read(tail)).toHaveLength(2_001)
    await read(tail)
    expect(lastPlaces()).toEqual([])
  })

  test('that is opened before its first record comes is not given up', async () => {
    await fresh.query(`INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'a test')`)
    const { tail } = await startTail()
    expect(await read(tail)).toEqual([])
    expect(lastPlaces()).toEqual(['1 after 0'])
    await fresh.query(`INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'a test')`)
    expect(await read(tail)).toEqual([])
    expect(await read(tail)).toEqual([])
    await append(1, started)
    await append(2, created('a'))
    expect(await read(tail)).toEqual(['started', 'a'])
    await append(1, token('b'))
    expect(await read(tail)).toEqual(['b'])
    await read(tail)
    expect(lastPlaces()).toEqual(['1 after 2'])
  })
})

describe('a number that was skipped', () => {
  /** A transaction that has opened a chain and not committed. */
  async function openLate(): Promise<{ commit(name: string): Promise<void>; rollBack(): Promise<void> }> {
    const client = new pg.Client({ connectionString: fresh.url })
    await client.connect()
    await client.query('BEGIN')
    const { rows } = await client.query(
      `INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'late') RETURNING chain`,
    )
    return {
      async commit(name) {
        await client.query(
          `INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
           VALUES ($1, 1, to_timestamp($2::float8 / 1000), 'client', 'created', $3, sha256(''))`,
          [rows[0].chain, now, name],
        )
        await client.query('COMMIT')
        await client.end()
      },
      async rollBack() {
        await client.query('ROLLBACK')
        await client.end()
      },
    }
  }

  test('may be a transaction that commits later, and its records are not missed', async () => {
    const { tail } = await startTail()
    const late = await openLate()
    await write(created('b'))
    expect(await read(tail)).toEqual(['b'])
    await late.commit('a')
    expect(await read(tail)).toEqual(['a'])
    expect(await read(tail)).toEqual([])
    expect(lastGaps(), 'found is found').toEqual([])
  })

  test('before the start is not missed either', async () => {
    await write(created('before'))
    const late = await openLate()
    await write(created('b'))
    const { tail } = await startTail()
    expect(await read(tail)).toEqual([])
    expect(lastGaps()).toEqual([2])
    await late.commit('a')
    expect(await read(tail)).toEqual(['a'])
  })

  test('is taken for one that was rolled back when no transaction can hold it any more', async () => {
    const { tail } = await startTail()
    const late = await openLate()
    await late.rollBack()
    await write(created('b'))
    expect(await read(tail)).toEqual(['b'])
    await read(tail, {}, now + 30 * minute)
    expect(lastGaps()).toEqual([1])
    await read(tail, {}, now + 30 * minute + 1)
    expect(lastGaps()).toEqual([])
  })

  test('is kept in mind among many, but not among any number', async () => {
    await write(created('a'))
    const { tail } = await startTail()
    await fresh.query(`SELECT setval('audit_chain_chain_seq', 6001)`)
    await write(created('b'))
    expect(await read(tail)).toEqual(['b'])
    await read(tail)
    expect(lastGaps()).toHaveLength(6_000)
    expect([lastGaps()?.[0], lastGaps()?.at(-1)]).toEqual([2, 6_001])
    await fresh.query(`SELECT setval('audit_chain_chain_seq', 30001)`)
    await write(created('c'))
    expect(await read(tail)).toEqual(['c'])
    await read(tail)
    expect(lastGaps()).toHaveLength(10_000)
    // Of those that are skipped at once, the last ten thousand.
    expect(lastGaps()?.[6_000]).toBe(20_002)
  })
})

/**
 * The ledger read back from a real PostgreSQL: the newest records that match, and those that come after a place.
 *
 * Long because one ledger, which each test fills, is asked in all the ways there are.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Database, openDatabase } from '../../src/database/open.ts'
import { appendRecords } from '../../src/ledger/chain-store.ts'
import type { AuditEntry } from '../../src/ledger/query.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import {
  findByRequestIds,
  findChainBeginnings,
  findChainsAfter,
  findChangesOfLast,
  findChangesSince,
  findLatestChains,
  findRecords,
  findRecordsAfter,
  findUnfinishedChains,
  readTogether,
  withPreviousHashes,
} from '../../src/ledger/record-store.ts'
import { tokenId } from '../../src/ledger/token-id.ts'
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
  vi.restoreAllMocks()
  await fresh.query('TRUNCATE audit_record, audit_chain RESTART IDENTITY')
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

const record = (clientId: string, time: number, changes: Partial<AuditRecord> = {}): AuditRecord => ({
  time,
  type: 'token',
  outcome: 'refused',
  clientId,
  ...changes,
})

/** Writes records as a chain of their own. */
const write = (...records: AuditRecord[]) => appendRecords(database.statements, records, '1.2.3')

const clients = (entries: readonly AuditEntry[]) => entries.map(({ clientId }) => clientId)

describe('records that are found', () => {
  test('are each looked up once, also in a ledger without statistics', async () => {
    // TRUNCATE removed the statistics. Nothing may make new ones while this runs.
    await fresh.query('ALTER TABLE audit_record SET (autovacuum_enabled = off)')
    await write(...Array.from({ length: 12_000 }, (_, index) => record('a', now + index)))
    const afterPlace = { time: now + 9_999, chain: 1, seq: 10_000 }
    const read = await database.prisma.$transaction(async (transaction) => {
      const found = await findRecords(transaction, { afterPlace }, 5_000, now + minute)
      expect(await withPreviousHashes(transaction, found)).toHaveLength(2_000)
      const [row] = await transaction.$queryRaw<{ read: number }[]>`
        SELECT (seq_tup_read + idx_tup_fetch)::int AS read FROM pg_stat_xact_user_tables
         WHERE relid = 'audit_record'::regclass`
      return row?.read
    })
    // Each of five searches may read the whole table. A join of the places with a chain reads millions.
    expect(read).toBeLessThan(12_000 * 10)
  })

  test('are as they were written', async () => {
    const full: AuditRecord = {
      time: now + 123,
      type: 'token',
      outcome: 'issued',
      error: 'e',
      reason: 'r',
      clientId: 'billing',
      authenticationMethod: 'client_secret_basic',
      credentialId: 'k3v9x2ab',
      audience: 'https://orders.example.com',
      scope: 'orders:read',
      jti: '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1',
      kid: 'key-1',
      expiresAt: 1_800_000_300,
      address: '10.0.0.1',
      userAgent: 'curl/8.5.0',
      requestId: 'abc-1',
      count: 3,
      detail: { last_time: 7 },
    }
    await write(full, { time: now + 124, type: 'service', outcome: 'started' })
    const found = await findRecords(database.prisma, {}, 10, now + 1_000)
    const stored = {
      chain: 1,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      committedAt: expect.stringMatching(/^\d{4}-.*\.\d{6}Z$/),
    }
    expect(found).toEqual([
      { ...full, ...stored, seq: 1 },
      { time: now + 124, type: 'service', outcome: 'started', count: 1, ...stored, seq: 2 },
    ])
    // What is not said is not there, and not null or undefined.
    expect(Object.keys(found[1] ?? {}).sort()).toEqual(
      ['chain', 'committedAt', 'count', 'hash', 'outcome', 'seq', 'time', 'type'].sort(),
    )
    const after = await findRecordsAfter(database.prisma, [{ chain: 1, seq: 0 }], 10)
    expect(after).toEqual(found)
  })

  test('have the hash that they are linked to: of the record before, of the beginning, or none that is left', async () => {
    await write(...['a', 'b', 'c', 'd'].map((name, index) => record(name, now + index)))
    await write(record('e', now + 9))
    const all = await findRecords(database.prisma, {}, 10, now)
    const genesis = (await findChainBeginnings(database.prisma, 0, 10)).map((chain) => chain.genesis)
    const [a, b, c] = all.map(({ hash }) => hash)
    await fresh.query('DELETE FROM audit_record WHERE chain = 1 AND seq = 2')
    const left = all.filter(({ clientId }) => clientId !== 'b')
    const linked = [genesis[0], undefined, c, genesis[1]]
    const expected = left.map((entry, index) => ({ ...entry, previousHash: linked[index] }))
    expect(await withPreviousHashes(database.prisma, left)).toEqual(expected)
    expect(await withPreviousHashes(database.prisma, left.toReversed())).toEqual(expected.toReversed())
    expect(await withPreviousHashes(database.prisma, all.slice(0, 1))).toEqual([
      { ...all[0], previousHash: genesis[0] },
    ])
    expect(new Set([a, b, c, ...genesis]).size, 'all of them differ').toBe(5)
  })

  test('have a detail that was written by hand as it stands, and not as what it would be hashed to', async () => {
    const texts = ['{"a":1}', '{"a": 1}', 'null', '7', '"text"', 'no JSON', '']
    await write(...texts.map((_text, index) => record('a', now + index, { detail: { a: 1 } })))
    for (const [index, text] of texts.entries()) {
      await fresh.query('UPDATE audit_record SET detail = $2 WHERE seq = $1', [index + 1, text])
    }
    const found = await findRecords(database.prisma, {}, 10, now)
    expect(found.map(({ detail }) => detail)).toEqual([{ a: 1 }, ...texts.slice(1)])
  })

  test('of requests are those with their ids, and none that are older than a moment', async () => {
    const ids = ['one', 'two', 'two', 'other']
    await write(...ids.map((requestId, index) => record(`${index}`, now + index, { requestId })))
    const found = async (requestIds: readonly string[], since: number) =>
      clients(await findByRequestIds(database.prisma, requestIds, since)).toSorted()
    expect(await found(['one', 'two'], now)).toEqual(['0', '1', '2'])
    expect(await found(['one', 'two'], now + 1)).toEqual(['1', '2'])
    expect(await found(['nobody’s'], now)).toEqual([])
    expect(await found([], now)).toEqual([])
  })

  test('are the newest, the oldest of them first, and in one order where their times are the same', async () => {
    await write(record('a', now - 30), record('b', now - 10), record('c', now - 20))
    await write(record('d', now - 10), record('e', now - 10))
    expect(clients(await findRecords(database.prisma, {}, 10, now))).toEqual(['a', 'c', 'b', 'd', 'e'])
    expect(clients(await findRecords(database.prisma, {}, 3, now))).toEqual(['b', 'd', 'e'])
    expect(clients(await findRecords(database.prisma, {}, 1, now))).toEqual(['e'])
  })

  test('are those that agree with every field of the filter', async () => {
    const jti = tokenId(now - 5, '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1')
    await write(
      record('a', now - 5, { outcome: 'issued', jti }),
      record('other', now - 5, {
        outcome: 'issued',
        jti: tokenId(now - 5, '00000000-0000-4a41-9df0-1d4d3ac0a8b1'),
      }),
      record('a', now - 4, { outcome: 'issued' }),
      record('b', now - 3),
      record('b', now - 2, { type: 'client', outcome: 'created' }),
    )
    const times = async (filter: object) =>
      (await findRecords(database.prisma, filter, 10, now)).map(({ time }) => time - now)
    expect(await times({ type: 'token' })).toEqual([-5, -5, -4, -3])
    expect(await times({ type: 'client' })).toEqual([-2])
    expect(await times({ outcome: 'issued' })).toEqual([-5, -5, -4])
    expect(await times({ clientId: 'b' })).toEqual([-3, -2])
    expect(await times({ jti })).toEqual([-5])
    expect(await times({ clientId: 'b', type: 'token' })).toEqual([-3])
    expect(await times({ since: now - 4 })).toEqual([-4, -3, -2])
    expect(await times({ until: now - 4 })).toEqual([-5, -5])
    expect(await times({ since: now - 4, until: now - 3 })).toEqual([-4])
    expect(await times({ clientId: 'b', since: now - 2 })).toEqual([-2])
  })

  test('are found wherever they are: minutes, hours, days, months and years ago, and in what is still to come', async () => {
    const ages = [5, 60, 20 * 60, 10 * 24 * 60, 90 * 24 * 60, 3 * 365 * 24 * 60]
    await write(...ages.map((age) => record(`${age}`, now - age * minute)), record('ahead', now + minute))
    const names = ages.map(String).reverse()
    for (let limit = 1; limit <= ages.length; limit += 1) {
      // The clock of whoever wrote them may be ahead: an end that nobody named leaves those out only in a span.
      const found = clients(await findRecords(database.prisma, { until: now }, limit, now))
      expect(found).toEqual(names.slice(-limit))
    }
    expect(clients(await findRecords(database.prisma, {}, 10, now))).toEqual([...names, 'ahead'])
    expect(clients(await findRecords(database.prisma, { clientId: '5' }, 10, now))).toEqual(['5'])
  })

  test('are searched for near their end first, in spans that grow, and no further than it takes', async () => {
    await write(...Array.from({ length: 3 }, (_, index) => record(`${index}`, now - 60 * minute - index)))
    const searches: number[] = []
    const findMany = database.prisma.auditRecord.findMany.bind(database.prisma.auditRecord)
    const watched = {
      $queryRaw: database.prisma.$queryRaw.bind(database.prisma),
      auditRecord: {
        findMany: (query: { where: { time: { gte: Date } } }) => {
          searches.push((now - query.where.time.gte.getTime()) / minute)
          return findMany(query as never)
        },
      },
    } as unknown as Database['prisma']
    const search = async (filter: object, limit: number) => {
      searches.length = 0
      const found = await findRecords(watched, filter, limit, now)
      return { found: found.length, spans: [...searches] }
    }
    const all = now / minute
    expect(await search({}, 3)).toEqual({ found: 3, spans: [15, 240] })
    expect(await search({}, 2)).toEqual({ found: 2, spans: [15, 240] })
    expect(await search({}, 4)).toEqual({ found: 3, spans: [15, 240, 2_880, 43_200, all] })
    // Not further than the filter goes, and once where it goes no further than the first.
    expect(await search({ since: now - 2_880 * minute }, 4)).toEqual({ found: 3, spans: [15, 240, 2_880] })
    expect(await search({ since: now - 10 * minute }, 4)).toEqual({ found: 0, spans: [10] })
    // The indexes lead to these at once.
    expect(await search({ clientId: '1' }, 4)).toEqual({ found: 1, spans: [all] })
    expect((await search({ jti: '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1' }, 4)).spans).toEqual([all])
  })

  describe('on a side of a place', () => {
    /** Two chains whose records have the same times: a and b are of the first, c and d of the second. */
    const writeTwins = async () => {
      await write(record('a1', now - 2), record('a2', now - 1), record('a3', now - 1))
      await write(record('b1', now - 2), record('b2', now - 1), record('b3', now))
    }
    const inOrder = ['a1', 'b1', 'a2', 'a3', 'b2', 'b3']
    const placeOf = (entry: AuditEntry | undefined) => {
      if (entry === undefined) throw new Error('there is no such record')
      return { time: entry.time, chain: entry.chain, seq: entry.seq }
    }

    test('are all on that side, whether their times, their chains or only their numbers differ', async () => {
      await writeTwins()
      const all = await findRecords(database.prisma, {}, 10, now + 1)
      expect(clients(all)).toEqual(inOrder)
      for (const [index, entry] of all.entries()) {
        const [beforePlace, afterPlace] = [placeOf(entry), placeOf(entry)]
        const before = await findRecords(database.prisma, { beforePlace }, 10, now + 1)
        expect(clients(before)).toEqual(inOrder.slice(0, index))
        const newest = await findRecords(database.prisma, { beforePlace }, 1, now + 1)
        expect(clients(newest)).toEqual(inOrder.slice(0, index).slice(-1))
        const after = await findRecords(database.prisma, { afterPlace }, 10, now + 1)
        expect(clients(after)).toEqual(inOrder.slice(index + 1))
        const first = await findRecords(database.prisma, { afterPlace }, 1, now + 1)
        expect(clients(first)).toEqual(inOrder.slice(index + 1).slice(0, 1))
      }
      const [beforePlace, afterPlace] = [placeOf(all[4]), placeOf(all[1])]
      expect(clients(await findRecords(database.prisma, { beforePlace, afterPlace }, 10, now))).toEqual([
        'a2',
        'a3',
      ])
      expect(clients(await findRecords(database.prisma, { afterPlace, clientId: 'b2' }, 10, now))).toEqual([
        'b2',
      ])
    })

    test('are searched for from that place on, in spans that grow, and no further than it takes', async () => {
      const place = { time: now, chain: 9, seq: 1 }
      await write(...[-60, -59, 59, 60].map((age) => record(`${age}`, now + age * minute)))
      const searches: [number, number][] = []
      const findMany = database.prisma.auditRecord.findMany.bind(database.prisma.auditRecord)
      const watched = {
        $queryRaw: database.prisma.$queryRaw.bind(database.prisma),
        auditRecord: {
          findMany: (query: { where: { time: { gte: Date; lt: Date } } }) => {
            const { gte, lt } = query.where.time
            searches.push([(gte.getTime() - now) / minute, (lt.getTime() - now) / minute])
            return findMany(query as never)
          },
        },
      } as unknown as Database['prisma']
      const search = async (filter: object, limit: number, at = now) => {
        searches.length = 0
        const found = clients(await findRecords(watched, filter, limit, at))
        return { found, spans: searches.map(([from, to]) => Math.round(to - from)) }
      }
      expect(await search({ afterPlace: place }, 2)).toEqual({ found: ['59', '60'], spans: [15, 240] })
      expect(await search({ afterPlace: place }, 1)).toEqual({ found: ['59'], spans: [15, 240] })
      const whole = await search({ afterPlace: place }, 3)
      expect(whole.found).toEqual(['59', '60'])
      expect(whole.spans.slice(0, 4)).toEqual([15, 240, 2_880, 43_200])
      expect(whole.spans).toHaveLength(5)
      const until = now + 240 * minute
      expect(await search({ afterPlace: place, until }, 3)).toEqual({ found: ['59', '60'], spans: [15, 240] })
      expect((await search({ afterPlace: place, clientId: '59' }, 3)).spans).toHaveLength(1)

      // Before a place, the first span ends at the place and not now.
      const year = 365 * 24 * 60 * minute
      const back = await search({ beforePlace: place }, 2, now + year)
      expect(back.found).toEqual(['-60', '-59'])
      expect(back.spans).toHaveLength(2)
      const capped = await search({ beforePlace: place, until: now - 59 * minute }, 1, now + year)
      expect(capped).toEqual({ found: ['-60'], spans: [15] })
    })
  })

  test('of changes are those of chains that were committed since a moment', async () => {
    /** As changes are written: the chain and its records in one commit, which gives the chain its stamp. */
    const change = (...ids: string[]) =>
      database.prisma.$transaction((transaction) =>
        appendRecords(
          transaction,
          ids.map((id) => record(id, now, { type: 'client', outcome: 'created' })),
          '1.2.3',
        ),
      )
    await change('a', 'b')
    await write(record('c', now))
    await change('d')
    const since = await findChangesSince(database.prisma, '2000-01-01T00:00:00Z')
    expect(clients(since).toSorted()).toEqual(['a', 'b', 'd'])
    const committedAt = new Map(since.map((entry) => [entry.clientId, entry.committedAt ?? '']))
    expect(committedAt.get('a')).toMatch(/^\d{4}-.*\.\d{6}Z$/)
    expect(committedAt.get('a')).toBe(committedAt.get('b'))
    expect(clients(await findChangesSince(database.prisma, committedAt.get('d') ?? ''))).toEqual(['d'])
    expect(await findChangesSince(database.prisma, '2999-01-01T00:00:00Z')).toEqual([])
    expect(clients(await findChangesOfLast(database.prisma, 3_600)).toSorted()).toEqual(['a', 'b', 'd'])
    expect(await findChangesOfLast(database.prisma, 0)).toEqual([])
  })
})

describe('chains', () => {
  test('begin as they were opened, and are listed from one on', async () => {
    await write(record('a', now))
    await write(record('b', now))
    await write(record('c', now))
    const all = await findChainBeginnings(database.prisma, 0, 10)
    expect(all.map(({ chain }) => chain)).toEqual([1, 2, 3])
    for (const { genesis, openedAt, openedBy } of all) {
      expect(genesis).toMatch(/^[0-9a-f]{64}$/)
      expect(openedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      expect(openedBy).toContain('1.2.3')
    }
    expect((await findChainBeginnings(database.prisma, 1, 1)).map(({ chain }) => chain)).toEqual([2])
    expect(await findChainBeginnings(database.prisma, 3, 10)).toEqual([])
  })

  const started: AuditRecord = { time: now, type: 'service', outcome: 'started' }
  const stopped: AuditRecord = { time: now, type: 'service', outcome: 'stopped' }
  const opened = (age: string) =>
    fresh.query(
      `INSERT INTO audit_chain (genesis, opened_by, opened_at) VALUES ('', 'a test', now() - $1::interval)`,
      [age],
    )

  test('that may still grow are those of services that have not stopped, and new ones without a record', async () => {
    await write(started, record('a', now))
    await write(started, stopped)
    await write({ time: now, type: 'client', outcome: 'created' })
    await opened('23 hours')
    await opened('25 hours')
    await write(started)
    // The first records of a chain may have been deleted: it may be a service's.
    await write(started, record('b', now))
    await fresh.query('DELETE FROM audit_record WHERE chain = 7 AND seq = 1')
    const found = await readTogether(database, (snapshot) => findUnfinishedChains(snapshot))
    expect(found.sort((one, other) => one.chain - other.chain)).toEqual([
      { chain: 1, seq: 2n },
      { chain: 4, seq: null },
      { chain: 6, seq: 1n },
      { chain: 7, seq: 2n },
    ])
  })

  test('are listed in order: the latest thousand, and those after one with those in gaps before it', async () => {
    expect(await findLatestChains(database.prisma)).toEqual([])
    await fresh.query(
      `INSERT INTO audit_chain (genesis, opened_by) SELECT '', 'a test' FROM generate_series(1, 1203)`,
    )
    await fresh.query('DELETE FROM audit_chain WHERE chain IN (1100, 1101)')
    const latest = await findLatestChains(database.prisma)
    expect([latest.length, latest[0], latest.at(-1)]).toEqual([998, 204, 1203])
    expect(latest).toEqual([...latest].sort((one, other) => one - other))
    expect(await findChainsAfter(database.prisma, 1_200, [])).toEqual([1201, 1202, 1203])
    expect(await findChainsAfter(database.prisma, 1_201, [1100, 5, 1_099])).toEqual([5, 1099, 1202, 1203])
    expect(await findChainsAfter(database.prisma, 1_203, [])).toEqual([])
  })

  test('are read on from a place in each, chain by chain, so many records at once', async () => {
    await write(...['a', 'b', 'c'].map((name) => record(name, now)))
    await write(...['d', 'e'].map((name) => record(name, now)))
    await write(record('f', now))
    const read = async (places: { chain: number; seq: number }[], limit: number) =>
      clients(await findRecordsAfter(database.prisma, places, limit))
    const places = [
      { chain: 2, seq: 1 },
      { chain: 1, seq: 1 },
    ]
    expect(await read(places, 10)).toEqual(['b', 'c', 'e'])
    expect(await read(places, 2)).toEqual(['b', 'c'])
    expect(await read([{ chain: 1, seq: 0 }], 2)).toEqual(['a', 'b'])
    expect(await read([], 10)).toEqual([])
  })

  test('are read together as of one moment', async () => {
    await write(started)
    const [before, after] = await readTogether(database, async (snapshot) => {
      const first = await findLatestChains(snapshot)
      await write(started)
      return [first, await findLatestChains(snapshot)]
    })
    expect(after).toEqual(before)
    expect(await findLatestChains(database.prisma)).toHaveLength(2)
  })

  test('are not opened for nothing', async () => {
    await write()
    expect(await findLatestChains(database.prisma)).toEqual([])
  })
})

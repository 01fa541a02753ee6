/** The ledger of one process, on a real PostgreSQL: it says when it begins and ends, and no refusal is lost between. */
import { hostname } from 'node:os'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Database, openDatabase } from '../../src/database/open.ts'
import { isOnlyCounted, openLedger } from '../../src/ledger/ledger.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError, refusals } from '../../src/refusals.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

const now = 1_800_000_000_000

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  database = openDatabase(fresh.url)
})
afterEach(() => {
  vi.useRealTimers()
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

/** A ledger whose clock stands still until a test moves it. */
async function open() {
  const clock = { milliseconds: 7_000 }
  const memory = { version: 0 }
  const noted = { faults: [] as unknown[], recoveries: 0 }
  const ledger = await openLedger({
    database,
    clock: {
      nowSeconds: () => now / 1_000,
      nowMilliseconds: () => now,
      monotonicMilliseconds: () => clock.milliseconds,
    },
    release: '1.2.3',
    versionNow: async () => {
      const [row] = await fresh.query<{ version: string }>('SELECT version FROM registry_version')
      return Number(row?.version)
    },
    versionInMemory: () => memory.version,
    onVersion: async (version) => {
      memory.version = version
    },
    onFault: (error) => noted.faults.push(error),
    onRecovered: () => {
      noted.recoveries += 1
    },
  })
  const [last] = await fresh.query<{ chain: number }>('SELECT max(chain) AS chain FROM audit_chain')
  return { ledger, chain: last?.chain ?? 0, clock, noted }
}

interface Row {
  readonly type: string
  readonly outcome: string
  readonly reason: string | null
  readonly client: string | null
  readonly count: number
}

const rowsOf = (chain: number): Promise<Row[]> =>
  fresh.query<Row>(
    `SELECT type, outcome, reason, client_id AS client, count FROM audit_record WHERE chain = $1 ORDER BY seq`,
    [chain],
  )

/** Without the first, which says that the service started. */
const refusalsOf = async (chain: number): Promise<string[]> =>
  (await rowsOf(chain)).slice(1).map(({ client, reason, count }) => `${client} ${reason} ${count}`)

const refusal = (clientId: string, changes: Partial<AuditRecord> = {}): AuditRecord => ({
  time: now,
  type: 'token',
  outcome: 'refused',
  reason: 'secret_wrong',
  clientId,
  address: '10.0.0.1',
  ...changes,
})

/** Uses up what refusals may have records of their own in this second. */
const spend = (ledger: Awaited<ReturnType<typeof open>>['ledger']) =>
  Promise.all(Array.from({ length: limits.refusalRecordsPerSecondMax }, () => ledger.refuse(refusal('own'))))

const passSecond = () => vi.advanceTimersByTime(1_000)
const fakeIntervals = () => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
const breakDatabase = () => fresh.query('ALTER FUNCTION ledger_commit RENAME TO ledger_commit_away')
const mendDatabase = () => fresh.query('ALTER FUNCTION ledger_commit_away RENAME TO ledger_commit')

describe('a chain', () => {
  test('begins with the start of the service and ends with its end, and says whose it is', async () => {
    const { ledger, chain, noted } = await open()
    await ledger.commit(undefined, refusal('a'))
    await ledger.close()
    const rows = await fresh.query(
      'SELECT time, type, outcome, client_id, detail FROM audit_record WHERE chain = $1 ORDER BY seq',
      [chain],
    )
    const detail = JSON.stringify({ host: hostname(), process_id: process.pid, release: '1.2.3' })
    const time = new Date(now)
    expect(rows).toEqual([
      { time, type: 'service', outcome: 'started', client_id: null, detail },
      { time, type: 'token', outcome: 'refused', client_id: 'a', detail: null },
      { time, type: 'service', outcome: 'stopped', client_id: null, detail },
    ])
    expect(await fresh.query('SELECT opened_by, length(genesis) FROM audit_chain WHERE chain = $1', [chain]))
      // The genesis is random, and as long as a hash.
      .toEqual([{ opened_by: `${hostname()} ${process.pid} mintmark/1.2.3`, length: 32 }])
    expect(noted).toEqual({ faults: [], recoveries: 0 })
    expect(ledger.healthy).toBe(true)
  })

  test('is not opened where its first record cannot be written', async () => {
    await breakDatabase()
    await expect(open()).rejects.toMatchObject({ reason: 'ledger_unavailable' })
    await mendDatabase()
  })
})

describe('a refusal', () => {
  test('has a record of its own, durable at once', async () => {
    const { ledger, chain } = await open()
    expect(await ledger.refuse(refusal('a'))).toEqual({ committed: true })
    expect(await refusalsOf(chain)).toEqual(['a secret_wrong 1'])
    await ledger.close()
  })

  test('past so many in a second is counted with others, and they become one record soon', async () => {
    fakeIntervals()
    const { ledger, chain, clock } = await open()
    clock.milliseconds = 7_001
    await spend(ledger)
    clock.milliseconds = 7_999
    for (const name of ['b', 'c', 'd']) {
      expect(await ledger.refuse(refusal(name))).toEqual({ committed: true })
    }
    const own = limits.refusalRecordsPerSecondMax
    expect(await refusalsOf(chain)).toHaveLength(own)
    passSecond()
    await expect.poll(() => refusalsOf(chain)).toHaveLength(own + 1)
    expect((await refusalsOf(chain)).at(-1)).toBe('null secret_wrong 3')
    clock.milliseconds = 8_000
    await ledger.refuse(refusal('another second'))
    expect((await refusalsOf(chain)).at(-1)).toBe('another second secret_wrong 1')
    await ledger.close()
    expect(await refusalsOf(chain), 'nothing is written twice').toHaveLength(own + 3)
  })

  test('by a version that is stale is none, whether it would be written or counted', async () => {
    const { ledger, chain, clock } = await open()
    const [row] = await fresh.query<{ version: string }>('SELECT version FROM registry_version')
    const version = Number(row?.version)
    const stale = { committed: false, version }
    expect(await ledger.refuse(refusal('a'), version + 1)).toEqual(stale)
    clock.milliseconds += 1_000
    await spend(ledger)
    expect(await ledger.refuse(refusal('b'), version + 1)).toEqual(stale)
    expect(await ledger.refuse(refusal('c'), version)).toEqual({ committed: true })
    await ledger.close()
    const written = (await refusalsOf(chain)).filter((one) => !one.startsWith('own '))
    expect(written).toEqual(['c secret_wrong 1', 'null null 1'])
  })

  test('that is only counted costs no commit', async () => {
    const { ledger, chain, noted } = await open()
    await spend(ledger)
    await breakDatabase()
    expect(await ledger.refuse(refusal('a'))).toEqual({ committed: true })
    ledger.count(refusal('b'))
    await mendDatabase()
    expect(noted.faults).toEqual([])
    await ledger.close()
    expect(await refusalsOf(chain)).toContain('null secret_wrong 2')
  })

  test('that was counted and could not be written is counted on, and written when the database is back', async () => {
    fakeIntervals()
    const { ledger, chain, noted } = await open()
    await breakDatabase()
    ledger.count(refusal('a'))
    ledger.count(refusal('b', { reason: 'client_unknown' }))
    passSecond()
    // One fault: both were in one batch.
    await expect.poll(() => noted.faults).toHaveLength(1)
    expect(ledger.healthy).toBe(false)
    await mendDatabase()
    expect(noted.recoveries).toBe(0)
    ledger.count(refusal('c'))
    passSecond()
    await expect.poll(() => refusalsOf(chain)).toEqual(['null secret_wrong 2', 'b client_unknown 1'])
    await expect.poll(() => noted.recoveries).toBe(1)
    expect(ledger.healthy).toBe(true)
    await ledger.close()
  })
})

describe('closing', () => {
  test('writes what was counted before it says that the service stopped, and counts no more', async () => {
    fakeIntervals()
    const { ledger, chain } = await open()
    const late = ledger.commit(undefined, refusal('on the way'))
    ledger.count(refusal('counted'))
    await ledger.close()
    await late
    expect((await rowsOf(chain)).map(({ outcome, client }) => client ?? outcome)).toEqual([
      'started',
      'on the way',
      'counted',
      'stopped',
    ])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('ends also where the database does not take the last record, and tells why', async () => {
    const { ledger, noted } = await open()
    await breakDatabase()
    await ledger.close()
    await mendDatabase()
    expect(noted.faults).toMatchObject([{ code: '42883' }, { reason: 'ledger_unavailable' }])
    expect(ledger.healthy).toBe(false)
  })
})

describe('health', () => {
  test('is lost with the first fault and is back with the first record, and each is told once', async () => {
    const { ledger, noted } = await open()
    await breakDatabase()
    for (const name of ['a', 'b']) {
      await expect(ledger.commit(undefined, refusal(name))).rejects.toMatchObject({
        reason: 'ledger_unavailable',
      })
      expect(ledger.healthy).toBe(false)
    }
    expect(noted.faults).toHaveLength(2)
    await mendDatabase()
    for (const name of ['c', 'd']) await ledger.commit(undefined, refusal(name))
    expect(noted.recoveries).toBe(1)
    expect(ledger.healthy).toBe(true)
    await ledger.close()
  })
})

test('only refusals for want of what a record needs are only counted', () => {
  const counted = Object.keys(refusals).filter((reason) =>
    isOnlyCounted(new OAuthError(reason as OAuthError['reason'])),
  )
  expect(counted.sort()).toEqual([
    'commit_queue_full',
    'ledger_unavailable',
    'overloaded',
    'registry_unavailable',
  ])
})

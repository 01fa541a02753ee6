/**
 * What a ledger does by itself: it tries the database while nobody asks for anything, and knows whether records were
 * lost. The records of a real database are in ledger.real.test.ts.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PreparedCall } from '../../src/database/call.ts'
import type { Database } from '../../src/database/open.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'

const now = 1_800_000_000_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})
afterEach(() => {
  vi.useRealTimers()
})

interface Commit {
  /** The version that it was to check. */
  readonly version: number | undefined
  readonly records: number
  readonly chain: number
}

/** A database whose registry is at a version. It can fail, and lose all chains that it has. */
function databaseAt(version: number) {
  const state = { version, fault: undefined as Error | undefined, lostChains: 0, chains: 0 }
  const commits: Commit[] = []
  const openChain = () => {
    state.chains += 1
    return [{ chain: state.chains }]
  }
  const answer = (call: PreparedCall): void => {
    const wire = {
      stream: { cork() {}, uncork() {} },
      parsedStatements: { [call.name]: call.text },
      bind({ values }: { values: readonly (string | null)[] }) {
        const [checked = null, records = null, chain = null] = values
        if (state.fault !== undefined) return call.handleError(state.fault)
        if (Number(chain) > state.lostChains) {
          call.handleDataRow({ fields: [String(state.version)] })
          commits.push({
            version: checked === null ? undefined : Number(checked),
            records: (JSON.parse(records ?? '') as unknown[]).length,
            chain: Number(chain),
          })
        }
        call.handleReadyForQuery()
      },
      execute() {},
      sync() {},
    }
    call.submit(wire as unknown as Parameters<PreparedCall['submit']>[0])
  }
  const client = {
    on() {},
    off() {},
    release() {},
    query(query: PreparedCall | { text: string; values: readonly unknown[] }) {
      if (query instanceof PreparedCall) return answer(query)
      if (query.text.includes('INSERT INTO audit_chain')) return Promise.resolve({ rows: openChain() })
      const holds = Number(query.values[0]) > state.lostChains
      return Promise.resolve({ rows: [{ seq: null, hash: null, holds }] })
    },
  }
  const database = {
    statements: { $queryRaw: async () => openChain() },
    commitPool: { connect: async () => client },
  } as unknown as Database
  return { database, state, commits }
}

/** A ledger whose registry in memory is at a version, and whose first record is written. */
async function openAt(inMemory: number, inDatabase = inMemory) {
  const { database, state, commits } = databaseAt(inDatabase)
  const memory = { version: inMemory }
  const noted = { versions: [] as number[], faults: [] as unknown[], losses: [] as unknown[], recoveries: 0 }
  const onVersion = vi.fn(async (version: number) => {
    noted.versions.push(version)
  })
  const ledger = await openLedger({
    database,
    clock: { nowSeconds: () => now / 1_000, nowMilliseconds: () => now, monotonicMilliseconds: () => 7_000 },
    release: '1.2.3',
    versionNow: async () => state.version,
    versionInMemory: () => memory.version,
    onVersion,
    onFault: (error) => noted.faults.push(error),
    onLost: (loss) => noted.losses.push(loss),
    onRecovered: () => {
      noted.recoveries += 1
    },
  })
  commits.length = 0
  return { ledger, state, commits, memory, noted, onVersion }
}

/** A second passes, and what is due then is done. */
async function second(): Promise<void> {
  vi.advanceTimersByTime(1_000)
  await new Promise((resolve) => setImmediate(resolve))
}

const refusal: AuditRecord = { time: now, type: 'token', outcome: 'refused', clientId: 'a' }

describe('each second without a record', () => {
  test.each([
    ['asks whether the database is at the version in memory, and writes nothing', 7, 7, []],
    ['tells of a later version', 7, 9, [9]],
    ['tells of an earlier version: the database was restored', 7, 3, [3]],
  ])('%s', async (_what, inMemory, inDatabase, told) => {
    const { commits, noted } = await openAt(inMemory, inDatabase)
    await second()
    expect(commits, 'it has just written that it started').toEqual([])
    await second()
    expect(commits).toEqual([{ version: inMemory, records: 0, chain: 1 }])
    expect(noted.versions).toEqual(told)
    await second()
    expect(commits).toHaveLength(2)
  })

  test('asks for the version that is in memory by then', async () => {
    const { state, commits, memory, noted } = await openAt(7)
    await second()
    memory.version = 8
    state.version = 8
    await second()
    expect(commits.map(({ version }) => version)).toEqual([8])
    expect(noted.versions).toEqual([])
  })

  test('follows one with a record, which needs no question', async () => {
    const { ledger, commits } = await openAt(7)
    await second()
    for (let count = 0; count < 3; count += 1) {
      await ledger.commit(7, refusal)
      await second()
    }
    expect(commits.map(({ records }) => records)).toEqual([1, 1, 1])
    await second()
    expect(commits.map(({ records }) => records)).toEqual([1, 1, 1, 0])
  })

  test('notices that the database takes no records, and that it does again', async () => {
    const { ledger, state, noted } = await openAt(7)
    await second()
    state.fault = new Error('away')
    expect(ledger.healthy).toBe(true)
    await second()
    expect([ledger.healthy, noted.faults]).toEqual([false, [state.fault]])
    state.fault = undefined
    await second()
    await second()
    expect([ledger.healthy, noted.recoveries]).toEqual([true, 1])
  })

  test('goes on where the new version could not be read', async () => {
    const { commits, onVersion } = await openAt(7, 9)
    onVersion.mockRejectedValueOnce(new Error('away'))
    await second()
    await second()
    expect(onVersion).toHaveBeenCalledTimes(1)
    await second()
    await second()
    expect(onVersion).toHaveBeenCalledTimes(2)
    expect(commits).toHaveLength(2)
  })

  test('ends when the ledger is closed', async () => {
    const { ledger, commits } = await openAt(7)
    await second()
    await ledger.close()
    await second()
    await second()
    expect(
      commits.map(({ records }) => records),
      'the end of the service alone',
    ).toEqual([1])
    expect(vi.getTimerCount()).toBe(0)
  })
})

test('records that the database has lost are known from the next commit on', async () => {
  const { ledger, state, commits, noted } = await openAt(7)
  await ledger.commit(7, refusal)
  expect([ledger.hasLost, noted.losses]).toEqual([false, []])
  state.lostChains = 1
  await ledger.commit(7, refusal)
  expect(ledger.hasLost).toBe(true)
  expect(noted.losses).toMatchObject([{ chain: 1, acknowledged: 2, found: 0, newChain: 2 }])
  expect(commits.at(-1), 'with a record of the loss').toEqual({ version: 7, records: 2, chain: 2 })
  await ledger.commit(7, refusal)
  expect([ledger.hasLost, noted.losses.length]).toEqual([true, 1])
})

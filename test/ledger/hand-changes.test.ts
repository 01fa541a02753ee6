/**
 * What somebody changes with SQL becomes records: each note once, under the names that other records have, with what
 * changed and without what is never shown. The notes of a real database are in test/service/changes-by-hand.test.ts.
 * Long because each form of a note is a case.
 */
import { hostname } from 'node:os'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Statements } from '../../src/database/open.ts'
import type { HandChange } from '../../src/ledger/hand-change-store.ts'
import { openHandChanges, settleHandChanges } from '../../src/ledger/hand-changes.ts'
import { recordColumns } from '../../src/ledger/record.ts'
import { limits } from '../../src/limits.ts'
import { release } from '../../src/release.ts'

let noted = 0
function note(changes: Partial<HandChange> = {}): HandChange {
  noted += 1
  return {
    changeId: String(noted),
    time: 1_800_000_000_000 + noted,
    tableName: 'client',
    operation: 'UPDATE',
    before: {},
    after: {},
    hidden: [],
    databaseUser: 'clerk',
    role: 'clerk',
    application: 'psql',
    address: '10.0.0.1',
    ...changes,
  }
}

const notes = (count: number): HandChange[] => Array.from({ length: count }, () => note())

interface Recorded {
  readonly ids: readonly string[]
  readonly chain: number
  readonly genesis: Buffer
  readonly openedBy: string
  readonly records: readonly Record<string, unknown>[]
}

/** A database with these notes, which it removes when they are recorded. */
function databaseWith(waiting: readonly HandChange[]) {
  let left = [...waiting]
  let chains = 40
  const recorded: Recorded[] = []
  const hooks = { reads: 0, beforeRecording: async (_json: string): Promise<void> => {} }
  const statements = {
    $queryRaw: async (text: TemplateStringsArray, limit?: number) => {
      if (text.join('').includes('nextval')) {
        chains += 1
        return [{ chain: chains }]
      }
      hooks.reads += 1
      return left.slice(0, limit)
    },
    $executeRaw: async (_text: TemplateStringsArray, ...values: unknown[]) => {
      const [ids, chain, genesis, openedBy, json] = values as [string[], number, Buffer, string, string]
      await hooks.beforeRecording(json)
      left = left.filter(({ changeId }) => !ids.includes(changeId))
      const records = (JSON.parse(json) as unknown[][]).map(toRecord)
      recorded.push({ ids, chain, genesis, openedBy, records })
      return 1
    },
  } as unknown as Statements
  return { statements, recorded, hooks, left: () => left.length }
}

/** A record by the names of its fields, as the ledger stores it: without those that it does not have. */
function toRecord(values: readonly unknown[]): Record<string, unknown> {
  const names = ['chain', 'seq', ...Object.keys(recordColumns), 'hash']
  const fields = names.map((name, place) => [name, values[place]] as const)
  const { detail, ...rest } = Object.fromEntries(fields.filter(([, value]) => value !== null))
  return { ...rest, detail: JSON.parse(detail as string) as unknown }
}

async function recordOf(change: HandChange): Promise<Record<string, unknown>> {
  const { statements, recorded } = databaseWith([change])
  await settleHandChanges(statements)
  const [record] = recorded[0]?.records ?? []
  if (record === undefined) throw new Error('there is no record')
  return record
}

describe('the record of a change', () => {
  test('says who changed what, when, and from where', async () => {
    const change = note({ before: { client_id: 'a', name: 'A' }, after: { client_id: 'a', name: 'B' } })
    expect(await recordOf(change)).toEqual({
      chain: 41,
      seq: 1,
      time: change.time,
      type: 'client',
      outcome: 'changed by hand',
      clientId: 'a',
      address: '10.0.0.1',
      count: 1,
      detail: {
        by: 'clerk',
        application: 'psql',
        operation: 'UPDATE',
        table: 'client',
        changes: { name: { from: 'A', to: 'B' } },
      },
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })

  test('names the role where it is not the login, and no address where there is none', async () => {
    const record = await recordOf(note({ role: 'owner', address: null }))
    expect(record['detail']).toMatchObject({ by: 'clerk', role: 'owner' })
    expect(record).not.toHaveProperty('address')
  })

  const cases: readonly (readonly [tableName: string, row: Record<string, unknown>, expected: object])[] = [
    ['client', { client_id: 'a' }, { type: 'client', clientId: 'a' }],
    [
      'client_secret',
      { client_id: 'a', secret_id: 's' },
      { type: 'secret', clientId: 'a', credentialId: 's' },
    ],
    // The kid of a client's key is not the kid of a signing key.
    [
      'client_key',
      { client_id: 'a', thumbprint: 't', kid: 'k' },
      { type: 'client_key', clientId: 'a', credentialId: 't' },
    ],
    ['access', { client_id: 'a', audience: 'urn:o' }, { type: 'access', clientId: 'a', audience: 'urn:o' }],
    ['resource', { audience: 'urn:o' }, { type: 'resource', audience: 'urn:o' }],
    ['trusted_issuer', { issuer: 'https://i' }, { type: 'issuer', credentialId: 'https://i' }],
    ['trust_rule', { issuer: 'https://i', rule: 'r' }, { type: 'trust_rule', credentialId: 'r' }],
    ['blocked_workload', { workload_id: 'workload:a' }, { type: 'workload', clientId: 'workload:a' }],
    ['signing_key', { kid: 'k' }, { type: 'key', kid: 'k' }],
    ['signing_key_manifest', { number: 7 }, { type: 'key' }],
    ['a table of tomorrow', { client_id: 7, secret_id: null }, { type: 'client' }],
  ]
  const names = ['type', 'clientId', 'credentialId', 'audience', 'kid']
  test.each(cases)('of %s names what other records name of it: %j', async (tableName, row, expected) => {
    for (const sides of [
      { operation: 'INSERT', before: null, after: row },
      { operation: 'DELETE', before: row, after: null },
    ] as const) {
      const record = await recordOf(note({ tableName, ...sides }))
      expect(Object.fromEntries(Object.entries(record).filter(([name]) => names.includes(name)))).toEqual(
        expected,
      )
    }
  })

  test('of a table that was emptied names the table alone', async () => {
    const record = await recordOf(
      note({ tableName: 'access', operation: 'TRUNCATE', before: null, after: null }),
    )
    expect(record).toMatchObject({ type: 'access', detail: { operation: 'TRUNCATE', changes: {} } })
    expect(record).not.toHaveProperty('clientId')
  })
})

describe('what changed', () => {
  const most = limits.recordFieldCharactersMax
  const fits = 'x'.repeat(most)
  /** Its JSON is one character longer than fits. */
  const list = ['x'.repeat(most - 3)]
  const cases: readonly (readonly [what: string, change: Partial<HandChange>, expected: object])[] = [
    [
      'is each column that differs, and no other',
      { before: { a: 1, b: ['x'], c: null }, after: { a: 2, b: ['x'], c: 'new' } },
      { a: { from: 1, to: 2 }, c: { from: null, to: 'new' } },
    ],
    [
      'in a list is the whole list',
      { before: { scopes: ['a'] }, after: { scopes: ['a', 'b'] } },
      { scopes: { from: ['a'], to: ['a', 'b'] } },
    ],
    ['is all of a new row', { before: null, after: { a: 1 } }, { a: { from: null, to: 1 } }],
    ['is all of a row that is gone', { before: { a: 1 }, after: null }, { a: { from: 1, to: null } }],
    ['is named and not shown where it is hidden', { hidden: ['hash'] }, { hash: 'not shown' }],
    [
      'is cut where it is too long',
      { before: { a: fits, b: list }, after: { a: `${fits}y`, b: ['x'] } },
      {
        a: { from: fits, to: `${fits}…` },
        b: { from: `${JSON.stringify(list).slice(0, most)}…`, to: ['x'] },
      },
    ],
  ]
  test.each(cases)('%s', async (_what, change, changes) => {
    expect((await recordOf(note(change)))['detail']).toMatchObject({ changes })
    expect(Object.keys(((await recordOf(note(change)))['detail'] as { changes: object }).changes)).toEqual(
      Object.keys(changes),
    )
  })
})

describe('notes become records', () => {
  test('in a chain of their own, which says who opened it, and are counted', async () => {
    const waiting = notes(3)
    const { statements, recorded, left } = databaseWith(waiting)
    expect(await settleHandChanges(statements)).toBe(3)
    expect(left()).toBe(0)
    expect(recorded).toMatchObject([
      {
        ids: waiting.map(({ changeId }) => changeId),
        chain: 41,
        openedBy: `${hostname()} ${process.pid} mintmark/${release}`,
        records: [1, 2, 3].map((seq) => ({ chain: 41, seq })),
      },
    ])
    expect(recorded[0]?.genesis).toHaveLength(32)
  })

  test.each([
    [0, [], 1],
    [1, [1], 1],
    [499, [499], 1],
    [500, [500], 2],
    [1_001, [500, 500, 1], 3],
  ])('five hundred at once, until there are no more: of %i', async (count, sizes, reads) => {
    const { statements, recorded, hooks } = databaseWith(notes(count))
    expect(await settleHandChanges(statements)).toBe(count)
    expect(recorded.map(({ ids }) => ids.length)).toEqual(sizes)
    expect(recorded.map(({ chain }) => chain)).toEqual(sizes.map((_size, place) => 41 + place))
    expect(hooks.reads).toBe(reads)
  })

  test('unless another process records them at this moment: those before are counted', async () => {
    const { statements, recorded, hooks } = databaseWith(notes(700))
    hooks.beforeRecording = async () => {
      if (recorded.length === 1) throw Object.assign(new Error('taken'), { code: '40001' })
    }
    expect(await settleHandChanges(statements)).toBe(500)
  })

  test('or the fault is told', async () => {
    const { statements, hooks } = databaseWith(notes(1))
    const fault = Object.assign(new Error('full'), { code: '53100' })
    hooks.beforeRecording = () => Promise.reject(fault)
    await expect(settleHandChanges(statements)).rejects.toBe(fault)
  })
})

describe('a process that serves', () => {
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const second = async () => {
    vi.advanceTimersByTime(1_000)
    await turn()
  }
  afterEach(() => {
    vi.useRealTimers()
  })

  test('looks every second, also after a fault, and not while it is still at it', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const { statements, recorded, hooks, left } = databaseWith(notes(1))
    const faults: unknown[] = []
    const away = new Error('away')
    hooks.beforeRecording = () => Promise.reject(away)
    const open = openHandChanges(statements, (error) => faults.push(error))
    vi.advanceTimersByTime(999)
    await turn()
    expect(hooks.reads).toBe(0)
    vi.advanceTimersByTime(1)
    await turn()
    expect([hooks.reads, ...faults]).toEqual([1, away])

    const held = Promise.withResolvers<void>()
    hooks.beforeRecording = () => held.promise
    await second()
    await second()
    expect(hooks.reads).toBe(2)
    let isClosed = false
    const closed = open.close().then(() => {
      isClosed = true
    })
    await second()
    expect(isClosed, 'it waits for the records that are being written').toBe(false)
    held.resolve()
    await closed
    expect([left(), recorded.length, faults.length]).toEqual([0, 1, 1])
    await second()
    expect([hooks.reads, vi.getTimerCount()], 'closed, it looks no more').toEqual([2, 0])
  })

  test('and closes at once where it is at nothing', async () => {
    await openHandChanges(databaseWith([]).statements, () => {}).close()
  })
})

describe('a note that is hard to write down', () => {
  const deep = (): unknown => JSON.parse('['.repeat(200_000) + ']'.repeat(200_000))

  test('a value that is nested too deeply is named and not shown', async () => {
    const before = { jwks: [], issuer: 'i', claims: deep() }
    const record = await recordOf(
      note({ tableName: 'trusted_issuer', before, after: { ...before, jwks: deep() } }),
    )
    const shown = 'nested too deeply to be shown'
    expect(record).toMatchObject({
      detail: { changes: { jwks: { from: [], to: shown }, claims: { from: shown, to: shown } } },
    })
  })

  test('one that the database refuses is recorded without its row, and keeps no other one back', async () => {
    const { statements, hooks, recorded } = databaseWith(
      notes(9).with(4, note({ after: { name: 'refused' } })),
    )
    hooks.beforeRecording = async (json) => {
      if (json.includes('refused')) throw Object.assign(new Error('no such text'), { code: '22P05' })
    }
    expect(await settleHandChanges(statements)).toBe(9)
    expect(recorded.flatMap(({ records }) => records)).toHaveLength(9)
  })

  test('one that the database refuses in any form stays, and is told', async () => {
    const { statements, hooks, recorded } = databaseWith(notes(9).with(4, note({ databaseUser: 'refused' })))
    hooks.beforeRecording = async (json) => {
      if (json.includes('refused')) throw Object.assign(new Error('no such text'), { code: '22P05' })
    }
    await expect(settleHandChanges(statements)).rejects.toThrow('no such text')
    expect(recorded.flatMap(({ records }) => records)).toHaveLength(8)
  })

  test('a database that is away is asked once', async () => {
    const { statements, hooks } = databaseWith(notes(9))
    let asked = 0
    hooks.beforeRecording = async () => {
      asked += 1
      throw Object.assign(new Error('away'), { code: '57P01' })
    }
    await expect(settleHandChanges(statements)).rejects.toThrow('away')
    expect(asked).toBe(1)
  })
})

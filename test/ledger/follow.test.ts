/**
 * Where a tail has come to, and that another tail goes on from there: nothing is missed, nothing is told twice. The
 * statements of a real database are in follow.real.test.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Database, Queryable } from '../../src/database/open.ts'
import { readTailCursor, type TailPlace, tailCursor } from '../../src/ledger/cursor.ts'
import { LedgerTail } from '../../src/ledger/follow.ts'
import { type AuditRecord, recordColumns } from '../../src/ledger/record.ts'

const now = 1_800_000_000_000
const minute = 60_000

const started: AuditRecord = { time: now, type: 'service', outcome: 'started' }
const stopped: AuditRecord = { time: now, type: 'service', outcome: 'stopped' }
const token = (clientId: string): AuditRecord => ({ time: now, type: 'token', outcome: 'issued', clientId })
const created = (clientId: string): AuditRecord => ({
  time: now,
  type: 'client',
  outcome: 'created',
  clientId,
})

/** Records by the number of their chain. */
type Chains = Readonly<Record<number, readonly AuditRecord[]>>

/** A database with these chains, which answers what a tail asks. */
function databaseWith(written: Chains) {
  const chains = new Map<number, AuditRecord[]>()
  const write = (more: Chains) => {
    for (const [chain, records] of Object.entries(more))
      chains.set(Number(chain), [...(chains.get(Number(chain)) ?? []), ...records])
  }
  write(written)

  const numbers = () => [...chains.keys()].sort((one, other) => one - other)
  const unfinished = () =>
    [...chains]
      .filter(
        ([, [first, ...others]]) =>
          first === undefined || (first.type === 'service' && others.at(-1)?.outcome !== 'stopped'),
      )
      .map(([chain, { length }]) => ({ chain, seq: length === 0 ? null : BigInt(length) }))
  const recordsAfter = (places: readonly { chain: number; seq: number }[], limit: number) =>
    places
      .flatMap(({ chain, seq }) =>
        (chains.get(chain) ?? []).map((record, index) => toRow(chain, index + 1, record)).slice(seq),
      )
      .slice(0, limit)

  const snapshot = {
    $queryRaw: async (text: TemplateStringsArray, ...values: unknown[]) => {
      const statement = text.join('')
      if (statement.includes('AS previous')) return []
      if (statement.includes('max(chain)')) return numbers().map((chain) => ({ chain }))
      if (statement.includes('ANY(')) {
        const [highest, gaps] = values as [number, number[]]
        return numbers()
          .filter((chain) => chain > highest || gaps.includes(chain))
          .map((chain) => ({ chain }))
      }
      if (!statement.includes('a.seq > p.seq')) return unfinished()
      const places = values.find((value) => typeof value === 'string') as string
      return recordsAfter(JSON.parse(places), values.at(-1) as number)
    },
  } as unknown as Queryable
  const database = {
    prisma: { $transaction: (read: (on: Queryable) => unknown) => read(snapshot) },
  } as unknown as Database
  return { database, snapshot, write }
}

/** A record as the database returns it. */
function toRow(chain: number, seq: number, record: AuditRecord) {
  const nothing = Object.fromEntries(Object.keys(recordColumns).map((field) => [field, null]))
  return {
    ...nothing,
    ...record,
    time: new Date(record.time),
    chain,
    seq: BigInt(seq),
    hash: Buffer.alloc(32),
    at: null,
  }
}

async function startOn({ database }: ReturnType<typeof databaseWith>): Promise<LedgerTail> {
  const tail = new LedgerTail()
  await tail.start(database, {}, 0, now)
  return tail
}

/** A tail that knows of another one only the cursor. */
async function resumeOn({ snapshot }: ReturnType<typeof databaseWith>, place: TailPlace) {
  const tail = new LedgerTail()
  const read = readTailCursor(tailCursor(place))
  if (read === undefined) throw new Error('the cursor cannot be read')
  expect(await tail.resume(snapshot, read, now)).toBe(true)
  return tail
}

async function read(
  { snapshot }: ReturnType<typeof databaseWith>,
  tail: LedgerTail,
  at = now,
): Promise<string[]> {
  const told: string[] = []
  for await (const entries of tail.read(snapshot, {}, at))
    told.push(...entries.map(({ clientId, outcome }) => clientId ?? outcome))
  return told
}

describe('the place of a tail that has just started', () => {
  const cases: readonly (readonly [what: string, chains: Chains, place: TailPlace])[] = [
    ['an empty ledger is its beginning', {}, { highest: 0, gaps: [], open: [] }],
    [
      'a service that runs is its last record',
      { 1: [started, token('a')] },
      { highest: 1, gaps: [], open: [[1, 2, true]] },
    ],
    ['a service that stopped is past it', { 1: [started, stopped] }, { highest: 1, gaps: [], open: [] }],
    ['a change is past it', { 1: [created('a')] }, { highest: 1, gaps: [], open: [] }],
    [
      'a chain without a record does not say whose it is',
      { 1: [] },
      { highest: 1, gaps: [], open: [[1, 0, null]] },
    ],
    [
      'chains with numbers between them that are not there names those',
      { 2: [created('a')], 5: [created('b')] },
      { highest: 5, gaps: [3, 4], open: [] },
    ],
  ]
  test.each(cases)('on %s', async (_what, chains, place) => {
    expect((await startOn(databaseWith(chains))).place).toEqual(place)
  })
})

describe('a tail that goes on where another one stopped', () => {
  const cases: readonly (readonly [
    what: string,
    before: Chains,
    later: readonly (readonly [written: Chains, told: readonly string[], open: TailPlace['open']])[],
  ])[] = [
    [
      'a service, for as long as it runs',
      { 1: [started, token('a')] },
      [
        [{}, [], [[1, 2, true]]],
        [{ 1: [token('b')] }, ['b'], [[1, 3, true]]],
        [{ 1: [token('c'), token('d')] }, ['c', 'd'], [[1, 5, true]]],
        [{ 1: [stopped] }, ['stopped'], []],
      ],
    ],
    [
      'a chain without a record, which is a service',
      { 1: [] },
      [
        [{}, [], [[1, 0, null]]],
        [{ 1: [started] }, ['started'], [[1, 1, true]]],
        [{ 1: [token('a')] }, ['a'], [[1, 2, true]]],
      ],
    ],
    [
      'a chain without a record, which is a change and is complete when it is visible',
      { 1: [] },
      [
        [{ 1: [created('a')] }, ['a'], []],
        [{}, [], []],
      ],
    ],
    [
      'a number that was skipped, whose transaction commits late',
      { 1: [created('a')], 3: [created('c')] },
      [
        [{}, [], []],
        [{ 2: [created('b')] }, ['b'], []],
        [{}, [], []],
      ],
    ],
    [
      'chains that are new',
      { 1: [created('a')] },
      [[{ 2: [created('b')], 3: [started] }, ['b', 'started'], [[3, 1, true]]]],
    ],
  ]

  test.each(cases)('tells what that one would tell, of %s', async (_what, before, later) => {
    const ledger = databaseWith(before)
    const first = await startOn(ledger)
    let next = await resumeOn(ledger, first.place)
    const wholeWay = await resumeOn(ledger, first.place)
    for (const [written, told, open] of later) {
      ledger.write(written)
      for (const tail of [first, next, wholeWay]) {
        expect(await read(ledger, tail)).toEqual(told)
        expect(tail.place.open).toEqual(open)
      }
      expect(next.place).toEqual(first.place)
      next = await resumeOn(ledger, next.place)
    }
  })

  test('goes on between two parts of a long chain', async () => {
    const ledger = databaseWith({})
    const first = await startOn(ledger)
    ledger.write({ 1: [...Array.from({ length: 2_000 }, () => created('many')), created('last')] })
    const part = await first.read(ledger.snapshot, {}, now).next()
    expect(part.value).toHaveLength(2_000)
    expect(first.place).toEqual({ highest: 1, gaps: [], open: [[1, 2_000, false]] })
    const next = await resumeOn(ledger, first.place)
    expect(await read(ledger, next)).toEqual(['last'])
    expect(next.place.open).toEqual([])
  })

  test('waits for a number that was skipped for half an hour from then on', async () => {
    const ledger = databaseWith({ 1: [created('a')], 3: [created('c')] })
    const next = await resumeOn(ledger, (await startOn(ledger)).place)
    await read(ledger, next, now + 30 * minute)
    expect(next.place.gaps).toEqual([2])
    await read(ledger, next, now + 30 * minute + 1)
    expect(next.place.gaps).toEqual([])
  })

  const three: Chains = { 1: [created('a')], 2: [created('b')], 3: [created('c')] }
  test.each([
    ['the beginning of an empty ledger', {}, 0, true],
    ['any other place in an empty ledger', {}, 1, false],
    ['a place before the end', three, 2, true],
    ['the end', three, 3, true],
    ['a place after the end: this is another ledger', three, 4, false],
  ] as const)('from %s', async (_what, chains, highest, isThere) => {
    const { snapshot } = databaseWith(chains)
    const tail = new LedgerTail()
    expect(await tail.resume(snapshot, { highest, gaps: [], open: [] }, now)).toBe(isThere)
    expect(tail.place.highest, 'a place that is not there is not taken').toBe(isThere ? highest : 0)
  })
})

/** Where a chain goes on, on a real PostgreSQL: in memory, after a lost answer, and after acknowledged records were lost. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Connection } from '../../src/database/open.ts'
import { type ChainHead, link } from '../../src/ledger/chain.ts'
import { ChainEnd, type LostRecords } from '../../src/ledger/chain-end.ts'
import { release } from '../../src/release.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

let database: FreshDatabase
let client: pg.Client

beforeAll(async () => {
  database = await freshDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await database.drop()
})

/** Whoever has the end in memory asks nobody. */
const nobody = {
  query: () => {
    throw new Error('the database was asked')
  },
} as unknown as Connection
const connection = (): Connection => client as unknown as Connection

const clock = {
  nowSeconds: () => 0,
  nowMilliseconds: () => 1_800_000_000_000,
  monotonicMilliseconds: () => 0,
}

async function openEnd() {
  const genesis = randomBytes(32)
  const [opened] = await database.query<{ chain: number }>(
    `INSERT INTO audit_chain (genesis, opened_by) VALUES ($1, 'a test') RETURNING chain`,
    [genesis],
  )
  const chain = opened?.chain ?? 0
  const losses: LostRecords[] = []
  const end = new ChainEnd({ clock, chain, genesis, onLost: (loss) => losses.push(loss) })
  return { end, losses, beginning: { chain, seq: 0, hash: genesis } satisfies ChainHead }
}

/** Writes records behind a head, as a commit does. @returns the new head. */
async function write(head: ChainHead, count: number): Promise<ChainHead> {
  const record = { time: 1_800_000_000_000, type: 'token', outcome: 'refused' } as const
  const linked = link(
    head,
    Array.from({ length: count }, () => record),
  )
  await client.query('SELECT ledger_commit(NULL, $1::jsonb)', [linked.json])
  return linked.head
}

const chains = async (): Promise<{ chain: number; opened_by: string }[]> =>
  await database.query('SELECT chain, opened_by FROM audit_chain ORDER BY chain DESC')

test('a new chain goes on at its beginning, and after a commit behind its records', async () => {
  const { end, beginning } = await openEnd()
  expect(end.hasLost).toBe(false)
  const first = await end.take(nobody)
  expect(first).toEqual(beginning)
  end.putBack(first)
  expect(await end.take(nobody)).toEqual(beginning)
  const head = await write(beginning, 2)
  end.acknowledge(head)
  expect(await end.take(nobody)).toEqual(head)
})

test('an end that nobody gave back is read from the database', async () => {
  const { end, beginning, losses } = await openEnd()
  await end.take(nobody)
  expect(await end.take(connection()), 'the chain has no record yet').toEqual(beginning)
  // The answer of this commit was lost.
  const head = await write(beginning, 3)
  expect(await end.take(connection())).toEqual(head)
  expect([losses, end.hasLost, end.loss]).toEqual([[], false, undefined])
})

test.each([
  ['all of them', 0],
  ['the last ones', 2],
])('acknowledged records that are gone, %s: another chain begins with the loss', async (_which, left) => {
  const { end, beginning, losses } = await openEnd()
  const head = await write(beginning, 5)
  end.acknowledge(head)
  await database.query('DELETE FROM audit_record WHERE chain = $1 AND seq > $2', [beginning.chain, left])
  const [last] = await database.query<{ hash: string }>(
    `SELECT encode(hash, 'hex') AS hash FROM audit_record WHERE chain = $1 ORDER BY seq DESC LIMIT 1`,
    [beginning.chain],
  )
  await end.take(nobody)
  const next = await end.take(connection())
  const [newest, before] = await chains()
  expect(next).toMatchObject({ chain: newest?.chain, seq: 0 })
  expect(next.hash).toHaveLength(32)
  expect(newest?.opened_by).toContain(`mintmark/${release}`)
  const lost = { chain: beginning.chain, acknowledged: 5, found: left }
  expect(end.loss).toEqual({
    time: 1_800_000_000_000,
    type: 'service',
    outcome: 'records lost',
    detail: { ...lost, acknowledged_hash: head.hash.toString('hex'), found_hash: last?.hash },
  })
  expect(losses).toEqual([{ ...lost, acknowledgedHash: head.hash.toString('hex'), newChain: newest?.chain }])
  expect(end.hasLost).toBe(true)

  // The commit that was to record it failed. The new chain is there already, and the loss is still to be recorded.
  expect(await end.take(connection())).toEqual(next)
  expect((await chains()).slice(0, 2)).toEqual([newest, before])
  expect(losses).toHaveLength(1)
  end.acknowledge(await write(next, 1))
  expect([end.loss, end.hasLost]).toEqual([undefined, true])
})

test('a second loss before the first one is recorded leaves the first one to be told', async () => {
  const { end, beginning, losses } = await openEnd()
  end.acknowledge(await write(beginning, 1))
  await database.query('DELETE FROM audit_record WHERE chain = $1', [beginning.chain])
  await end.take(nobody)
  const { chain } = await end.take(connection())
  const first = end.loss
  await database.query('DELETE FROM audit_chain WHERE chain = $1', [chain])
  expect(await end.take(connection())).toMatchObject({ seq: 0 })
  expect(end.loss).toBe(first)
  expect(losses.map((loss) => loss.chain)).toEqual([beginning.chain, chain])
})

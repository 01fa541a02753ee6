/** A commit's call against a real PostgreSQL: it answers, it fails, it gives up, and it leaves the connection in order. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PreparedCall } from '../../src/database/call.ts'
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

const echo = { name: 'echo', text: 'SELECT $1::text' }
const divide = { name: 'divide', text: 'SELECT 1 / $1::int' }

const call = (statement: { name: string; text: string }, value: string | null): Promise<string> =>
  client.query(new PreparedCall(statement, [value])).answer

test('answers with the value, prepares once, and takes any text', async () => {
  for (const text of ['one', '', 'é\u{1f511}"\\', 'x'.repeat(1_000_000)])
    expect(await call(echo, text)).toBe(text)
  const { rows } = await client.query(
    `SELECT count(*)::int AS calls FROM pg_prepared_statements WHERE name = 'echo'`,
  )
  expect(rows).toEqual([{ calls: 1 }])
})

test('calls that are made at once are answered in their order', async () => {
  const values = Array.from({ length: 50 }, (_, index) => String(index))
  expect(await Promise.all(values.map((value) => call(echo, value)))).toEqual(values)
})

test('no value is no answer', async () => {
  await expect(call(echo, null)).rejects.toThrow('without a value')
  await expect(call({ name: 'none', text: 'SELECT $1::text WHERE false' }, 'x')).rejects.toThrow(
    'without a value',
  )
})

test('what the server refuses is what it said, and the connection goes on', async () => {
  await expect(call(divide, '0')).rejects.toMatchObject({ code: '22012' })
  await expect(call({ name: 'broken', text: 'SELEKT $1' }, 'x')).rejects.toMatchObject({ code: '42601' })
  expect(await call(divide, '1')).toBe('1')
})

test('a call that is given up fails at once, even if nobody waits for it yet, and a late answer changes nothing', async () => {
  const slow = new PreparedCall({ name: 'slow', text: 'SELECT pg_sleep($1::float8)::text' }, ['0.05'])
  client.query(slow)
  slow.giveUp()
  // An unhandled rejection in between would fail the run.
  await new Promise((resolve) => setTimeout(resolve, 100))
  await expect(slow.answer).rejects.toThrow('did not answer in time')
  expect(await call(echo, 'next')).toBe('next')
})

test('messages that nobody asked for end neither the call nor the process', async () => {
  const odd = new PreparedCall(echo, ['x'])
  odd.handleRowDescription()
  odd.handleEmptyQuery()
  odd.handlePortalSuspended()
  odd.handleCopyInResponse()
  odd.handleCopyData()
  expect(await client.query(odd).answer).toBe('x')
})

test('a time limit that the URL sets ends with the call', async () => {
  const limited = new pg.Client({ connectionString: `${database.url}&query_timeout=600000` })
  await limited.connect()
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  for (const value of ['1', '2', '3']) await limited.query(new PreparedCall(echo, [value])).answer
  // Timers of others may have run out meanwhile; ten minutes have not.
  expect(timers()).toBeLessThanOrEqual(before)
  await limited.end()
})

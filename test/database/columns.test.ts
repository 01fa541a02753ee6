/** The ledger's columns are written down once in the program; the database has the same ones, in the same order. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordColumns } from '../../src/ledger/record.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

let database: FreshDatabase

beforeAll(async () => {
  database = await freshDatabase()
})

afterAll(() => database.drop())

const columns = ['chain', 'seq', ...Object.values(recordColumns), 'hash']

test('the table has them, and the time of the commit, which is not hashed', async () => {
  const rows = await database.query<{ name: string }>(
    `SELECT column_name AS name FROM information_schema.columns
      WHERE table_schema = 'public' AND table_name = 'audit_record' ORDER BY ordinal_position`,
  )
  expect(rows.map(({ name }) => name)).toEqual([...columns, 'committed_at'])
})

test('ledger_append takes them in that order', async () => {
  const [row] = await database.query<{ source: string }>(
    `SELECT prosrc AS source FROM pg_proc WHERE proname = 'ledger_append'`,
  )
  const [, list = ''] = /INSERT INTO audit_record \(([^)]*)\)/.exec(row?.source ?? '') ?? []
  expect(list.split(',').map((name) => name.trim())).toEqual(columns)
  const positions = [...(row?.source ?? '').matchAll(/r ->> (\d+)/g)].map(([, position]) => Number(position))
  expect(positions).toEqual(columns.map((_, index) => index))
})

/** A change of the registry and the records of it, on a real PostgreSQL: together or not at all, and one at a time. */
import { hostname } from 'node:os'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Database, openDatabase } from '../../src/database/open.ts'
import { AdministrationError } from '../../src/errors.ts'
import type { ChangeRecords } from '../../src/ledger/change-records.ts'
import { changeRegistry } from '../../src/ledger/change-store.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { release } from '../../src/release.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'

let fresh: FreshDatabase
let database: Database
let context: Parameters<typeof changeRegistry>[0]

beforeAll(async () => {
  fresh = await freshDatabase()
  database = openDatabase(fresh.url)
  context = { database, clock: systemClock, actor: { by: 'somebody' } }
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

const recordOf = (records: ChangeRecords, clientId: string): void =>
  records.add('client', 'created', { clientId })

/** Creates a client, with a record of it. */
const create =
  (clientId: string): Parameters<typeof changeRegistry<string>>[1] =>
  async (transaction, records) => {
    await transaction.client.create({ data: { clientId, name: clientId } })
    recordOf(records, clientId)
    return `${clientId} is there`
  }

async function isThere(clientId: string): Promise<{ client: boolean; record: boolean }> {
  const clients = await fresh.query('SELECT 1 FROM client WHERE client_id = $1', [clientId])
  const records = await fresh.query('SELECT 1 FROM audit_record WHERE client_id = $1', [clientId])
  return { client: clients.length === 1, record: records.length === 1 }
}

const chains = async () => (await fresh.query('SELECT chain FROM audit_chain')).length

test('a change and its record are written together, in a chain of its own, and it gives back its result', async () => {
  const before = await chains()
  expect(await changeRegistry(context, create('a'))).toBe('a is there')
  expect(await isThere('a')).toEqual({ client: true, record: true })
  expect(await chains()).toBe(before + 1)
  const [chain] = await fresh.query('SELECT opened_by, length(genesis) FROM audit_chain ORDER BY chain DESC')
  expect(chain).toEqual({ opened_by: `${hostname()} ${process.pid} mintmark/${release}`, length: 32 })
})

test('one that fails leaves nothing, and its error is the one that it threw', async () => {
  const wrong = new Error('no')
  const failed = changeRegistry(context, async (transaction, records) => {
    await create('b')(transaction, records)
    throw wrong
  })
  await expect(failed).rejects.toBe(wrong)
  expect(await isThere('b')).toEqual({ client: false, record: false })
})

test('one whose record cannot be written leaves nothing', async () => {
  const failed = changeRegistry(context, async (transaction, records) => {
    await create('c')(transaction, records)
    // A column that changes never fill in, so that the database refuses the record.
    const fields: object = { clientId: 'c', jti: 'no UUID' }
    records.add('client', 'created', fields)
  })
  await expect(failed).rejects.toThrow('22P02')
  expect(await isThere('c')).toEqual({ client: false, record: false })
})

test('what is called before the commit can still undo it', async () => {
  const wrong = new Error('too late')
  const beforeCommit = vi.fn(() => {
    throw wrong
  })
  await expect(changeRegistry(context, create('d'), { beforeCommit })).rejects.toBe(wrong)
  expect(beforeCommit).toHaveBeenCalledTimes(1)
  expect(await isThere('d')).toEqual({ client: false, record: false })
})

test('without a record there is no chain', async () => {
  const before = await chains()
  expect(await changeRegistry(context, async () => 1)).toBe(1)
  expect(await chains()).toBe(before)
})

test('changes are made one at a time, and each sees what the one before it did', async () => {
  const steps: string[] = []
  const step = (name: string) =>
    changeRegistry(context, async (transaction) => {
      const seen = await transaction.client.count({ where: { clientId: { startsWith: 'turn-' } } })
      steps.push(`${name} begins and sees ${seen}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
      await transaction.client.create({ data: { clientId: `turn-${name}`, name } })
      steps.push(`${name} ends`)
    })
  await Promise.all([step('x'), step('y')])
  const [first, second] = steps[0]?.startsWith('x') ? ['x', 'y'] : ['y', 'x']
  expect(steps).toEqual([
    `${first} begins and sees 0`,
    `${first} ends`,
    `${second} begins and sees 1`,
    `${second} ends`,
  ])
})

test('the lock is the one that all commands share, and is waited for as long as a large seed takes', async () => {
  await changeRegistry(context, async (transaction) => {
    const [row] = await transaction.$queryRaw<{ timeout: string; held: bigint }[]>`
      SELECT current_setting('lock_timeout') AS timeout,
             (SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND pid = pg_backend_pid()
                 AND relation = 'registry_change_set'::regclass AND mode = 'ShareUpdateExclusiveLock' AND granted) AS held`
    expect(row).toEqual({ timeout: '1min', held: 1n })
  })
})

test('a change that waited for too long is told that another command is at work, and that nothing was changed', async () => {
  await fresh.query(`CREATE FUNCTION wait_too_long() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'canceling statement due to lock timeout' USING ERRCODE = '55P03'; END $$`)
  const waited = changeRegistry(context, async (transaction, records) => {
    await create('e')(transaction, records)
    await transaction.$executeRaw`SELECT wait_too_long()`
  })
  const error = await waited.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(AdministrationError)
  expect(error).toMatchObject({
    code: 'registry_busy',
    fields: { waitedSeconds: 60 },
    cause: expect.anything(),
  })
  expect(await isThere('e')).toEqual({ client: false, record: false })
})

test('that the database says so by its code is enough, and so is the code in a sentence', async () => {
  const fails = (error: unknown) => changeRegistry(context, () => Promise.reject(error))
  await expect(fails(Object.assign(new Error('no'), { code: '55P03' }))).rejects.toBeInstanceOf(
    AdministrationError,
  )
  await expect(fails(new Error('code 55P03, it says'))).rejects.toBeInstanceOf(AdministrationError)
  await expect(fails('55P03')).rejects.toBe('55P03')
})

test('a change that takes longer than it may is given up', async () => {
  const never = changeRegistry(
    context,
    async (transaction, records) => {
      await create('f')(transaction, records)
      await new Promise((resolve) => setTimeout(resolve, 400))
      return await create('g')(transaction, records)
    },
    { timeoutMilliseconds: 200 },
  )
  await expect(never).rejects.toThrow(/transaction/i)
  expect(await isThere('f')).toEqual({ client: false, record: false })
})

test('more records than fit into one value of the database are written in portions, each a chain', async () => {
  const before = await chains()
  await changeRegistry(context, async (_transaction, records) => {
    for (let count = 0; count < 50_001; count += 1) recordOf(records, 'many')
  })
  const rows = await fresh.query(
    `SELECT count(*)::int FROM audit_record WHERE client_id = 'many' GROUP BY chain ORDER BY chain`,
  )
  expect(rows).toEqual([{ count: 50_000 }, { count: 1 }])
  expect(await chains()).toBe(before + 2)
})

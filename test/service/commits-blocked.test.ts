/** A session of the database keeps commits waiting. The log names the session, and no command makes it last longer. */
import pg from 'pg'
import { expect } from 'vitest'
import type { FreshDatabase } from '../support/database.ts'
import { test } from '../support/fixtures.ts'
import { registerClient, requestToken, type TestService } from '../support/service.ts'

/** @returns what ends the transaction, and the process of the database server that runs it. */
async function openTransaction(database: FreshDatabase, ...statements: string[]) {
  const session = new pg.Client({ connectionString: database.url, application_name: 'somebody' })
  session.on('error', () => {})
  await session.connect()
  for (const statement of ['BEGIN', ...statements]) await session.query(statement)
  const { rows } = await session.query('SELECT pg_backend_pid() AS id')
  return { databaseProcess: rows[0].id as number, end: () => session.end() }
}

const named = (service: TestService): unknown[] =>
  service
    .log()
    .split('\n')
    .filter((line) => line.includes('"commits_blocked"'))
    .map((line) => JSON.parse(line))

const somebody = (databaseProcess: number) =>
  expect.objectContaining({ databaseProcess, application: 'somebody', state: 'idle in transaction' })

test.for([
  ['the lock between commits and changes', 'LOCK TABLE registry_version IN EXCLUSIVE MODE'],
  ['the records', 'LOCK TABLE audit_record IN SHARE MODE'],
  // As VACUUM FULL or ALTER TABLE do: after the first fault even reading where the chain ends waits.
  ['the records, also against readers', 'LOCK TABLE audit_record IN ACCESS EXCLUSIVE MODE'],
] as const)('a session that holds %s is named', async ([, statement], { database, service }) => {
  const client = await registerClient(database)
  expect((await requestToken(service.url, client)).status).toBe(200)
  const holder = await openTransaction(database, statement)
  await expect
    .poll(async () => {
      await requestToken(service.url, client)
      return named(service)
    })
    .toEqual([somebody(holder.databaseProcess)])
  await holder.end()
  await expect.poll(async () => (await requestToken(service.url, client)).status).toBe(200)
})

test('a change that waits behind a session gives up, and it is the session that is named', async ({
  database,
  service,
  run,
}) => {
  const client = await registerClient(database)
  const holder = await openTransaction(database, 'SELECT FROM registry_version FOR UPDATE')
  // It keeps no token waiting by itself.
  expect((await requestToken(service.url, client)).status).toBe(200)
  const change = run('clients', 'disable', client.clientId)
  await expect
    .poll(async () => {
      await requestToken(service.url, client)
      return named(service)
    })
    .toEqual([somebody(holder.databaseProcess)])
  const { code, stderr } = await change
  expect([code, stderr]).toEqual([1, expect.stringContaining('kept this change waiting for 2 seconds')])
  await expect.poll(async () => (await requestToken(service.url, client)).status).toBe(200)
  await holder.end()
  expect(await run('clients', 'disable', client.clientId)).toMatchObject({ code: 0 })
})

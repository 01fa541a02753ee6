import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  orders,
  registerClient,
  requestToken,
  requestTokenPatiently,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'
import { until } from '../support/wait.ts'

/** What somebody writes into the registry by hand and nobody can understand refuses one client, for that reason. */

let running: TestService
let neighbour: TestClient

beforeAll(async () => {
  running = await startService()
  neighbour = await registerClient(running.database)
})

afterAll(() => running.close())

const status = async (client: TestClient): Promise<number> =>
  (await requestTokenPatiently(running.url, client)).status

async function lastReason(clientId: string): Promise<string | null | undefined> {
  const [row] = await running.database.query<{ reason: string | null }>(
    `SELECT reason FROM audit_record WHERE type = 'token' AND client_id = $1 AND reason IS DISTINCT FROM 'ledger_unavailable'
      ORDER BY chain DESC, seq DESC LIMIT 1`,
    [clientId],
  )
  return row?.reason
}

test.each([
  ['access', 'scopes', 'NULL'],
  ['access', 'scopes', `'{orders:read,NULL}'`],
  ['resource', 'scopes', 'NULL'],
  ['client', 'allowed_networks', 'NULL'],
  ['client', 'allowed_networks', `'{NULL}'`],
])('nothing that would mean nothing can be written: %s.%s = %s', async (table, column, value) => {
  await expect(running.database.query(`UPDATE ${table} SET ${column} = ${value}`)).rejects.toThrow('not_null')
})

describe.each([
  ['a scope with a space', `UPDATE access SET scopes = '{"a b"}' WHERE client_id = $1`],
  ['a scope with a quotation mark', `UPDATE access SET scopes = '{"a\\"b"}' WHERE client_id = $1`],
  ['an empty scope', `UPDATE access SET scopes = '{""}' WHERE client_id = $1`],
])('%s', (_name, statement) => {
  test('refuses its own client alone, and a repair counts at once', async () => {
    const client = await registerClient(running.database)
    expect(await status(client)).toBe(200)
    await running.database.query(statement, [client.clientId])
    expect([await status(client), await status(neighbour)]).toEqual([401, 200])
    expect(await lastReason(client.clientId)).toBe('registration_unreadable')
    await running.database.query(`UPDATE access SET scopes = '{orders:read}' WHERE client_id = $1`, [
      client.clientId,
    ])
    expect(await status(client)).toBe(200)
  })
})

test('a moment that is infinite is never, or long ago, and fails nobody', async () => {
  const client = await registerClient(running.database)
  const set = (moment: string) =>
    running.database.query('UPDATE client SET expires_at = $2::timestamptz WHERE client_id = $1', [
      client.clientId,
      moment,
    ])
  await set('infinity')
  expect([await status(client), await status(neighbour)]).toEqual([200, 200])
  await set('-infinity')
  expect([await status(client), await status(neighbour)]).toEqual([401, 200])
  expect(await lastReason(client.clientId)).toBe('client_expired')
  await set('infinity')
  expect(await status(client)).toBe(200)
  await running.database.query(`UPDATE client_secret SET revoked_at = 'infinity' WHERE client_id = $1`, [
    client.clientId,
  ])
  expect(await status(client)).toBe(401)
  expect(await lastReason(client.clientId)).toBe('secret_revoked')
})

test('a scope of a resource that cannot be understood is in no token', async () => {
  const client = await registerClient(running.database, { access: { [orders]: ['orders:read'] } })
  await running.database.query(`UPDATE resource SET scopes = scopes || '{"x y"}' WHERE audience = $1`, [
    orders,
  ])
  try {
    expect([await status(client), await status(neighbour)]).toEqual([200, 200])
  } finally {
    await running.database.query(`UPDATE resource SET scopes = array_remove(scopes, 'x y')`)
  }
})

test.each(['9223372036854775807', '-9223372036854775808'])(
  'a version of the registry that has no exact number is never taken over: %s',
  async (version) => {
    const own = await startService()
    try {
      const client = await registerClient(own.database)
      const answer = async (): Promise<number> => (await requestToken(own.url, client)).status
      await until(async () => (await answer()) === 200)
      const rows = await own.database.query<{ version: string }>('SELECT version::text FROM registry_version')
      await own.database.query(`UPDATE registry_version SET version = ${version}`)
      expect(await answer()).toBe(503)
      await until(() => own.log().includes('has a version that no trigger wrote'))
      await own.database.query(`UPDATE registry_version SET version = ${rows[0]?.version}`)
      await until(async () => (await answer()) === 200)
      await until(async () => (await fetch(`${own.url}/readyz`)).status === 200)
    } finally {
      await own.close()
    }
  },
)

import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { command } from '../support/command.ts'
import { registerClient, requestToken, startService, type TestService } from '../support/service.ts'

/** Records say when they were committed, by the database's clock: a wrong clock elsewhere does not mix up their order. */

let running: TestService
let shiftMilliseconds = 0

const shifted: Clock = {
  nowSeconds: () => Math.floor((systemClock.nowMilliseconds() + shiftMilliseconds) / 1_000),
  nowMilliseconds: () => systemClock.nowMilliseconds() + shiftMilliseconds,
  monotonicMilliseconds: systemClock.monotonicMilliseconds,
}

beforeAll(async () => {
  running = await startService({ clock: shifted })
})

afterAll(() => running.close())

interface Shown {
  readonly outcome: string
  readonly reason: string | null
  readonly time: string
  readonly committed_at: string
}

async function list(clientId: string): Promise<Shown[]> {
  const environment = { DATABASE_URL: running.database.url }
  const shown = await command(environment, 'audit', 'list', '--json', '--client', clientId)
  return JSON.parse(shown.stdout) as Shown[]
}

test('what was committed first says so, whatever the times of the requests are', async () => {
  const client = await registerClient(running.database)
  const administrator = new pg.Client({ connectionString: running.database.url })
  await administrator.connect()
  try {
    // The change and its record are written first. They are committed after two tokens.
    await administrator.query('BEGIN')
    await administrator.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [client.clientId])
    await administrator.query(
      `WITH opened AS (INSERT INTO audit_chain (genesis, opened_by) VALUES ('', 'test') RETURNING chain)
       INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
       SELECT chain, 1, clock_timestamp(), 'client', 'disabled', $1, sha256('') FROM opened`,
      [client.clientId],
    )
    for (const status of [200, 200]) expect((await requestToken(running.url, client)).status).toBe(status)
    await administrator.query('COMMIT')
    expect((await requestToken(running.url, client)).status).toBe(401)
  } finally {
    await administrator.end()
  }
  const records = await list(client.clientId)
  const inOrder = records.toSorted((a, b) => (a.committed_at < b.committed_at ? -1 : 1))
  expect(inOrder.map(({ outcome }) => outcome)).toEqual(['issued', 'issued', 'disabled', 'refused'])
  expect(records.map(({ outcome }) => outcome)).toEqual(['disabled', 'issued', 'issued', 'refused'])
})

test('a refusal by a machine whose clock jumped has the time at which it happened', async () => {
  const client = await registerClient(running.database)
  shiftMilliseconds = 3 * 3_600_000
  try {
    expect((await requestToken(running.url, client)).status).toBe(503)
  } finally {
    shiftMilliseconds = 0
  }
  const [record] = await list(client.clientId)
  expect(record).toMatchObject({ outcome: 'refused', reason: 'clock_unreliable' })
  const difference = Date.parse(record?.time ?? '') - Date.parse(record?.committed_at ?? '')
  expect(Math.abs(difference)).toBeLessThan(60_000)
})

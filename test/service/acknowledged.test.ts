/** What a database acknowledged and lost in a failover, and what it acknowledged although no standby had it. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { setClientStatus } from '../../src/administration/client-store.ts'
import { openDatabase } from '../../src/database/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openPrimaryAndStandby, openSwitch, type PrimaryAndStandby } from '../support/primary-and-standby.ts'
import { registerClient, requestToken, startService, type TestClient } from '../support/service.ts'

let pair: PrimaryAndStandby
let client: TestClient

beforeEach(async () => {
  pair = await openPrimaryAndStandby()
  client = await registerClient(pair.primary)
})
afterEach(() => pair.close())

const atIntervals = { interval: 100 }

interface Row {
  readonly chain: number
  readonly seq: number
  readonly outcome: string
  readonly detail: string | null
}

const records = (query: PrimaryAndStandby['primary']['query']) =>
  query<Row>('SELECT chain, seq::int, outcome, detail FROM audit_record ORDER BY chain, seq')

const commitBackend = `SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT ledger_commit%' AND pid <> pg_backend_pid()`

test.each([
  ['with a commit under way', true],
  ['between two commits', false],
])(
  'a failover that lost acknowledged records is noticed, recorded, and begins another chain: %s',
  async (_name, isUnderWay) => {
    const name = await openSwitch(pair.primary.port)
    const url = `postgresql://mintmark@127.0.0.1:${name.port}/postgres`
    const running = await startService({ database: { ...pair.primary, url } })
    const token = async () => (await requestToken(running.url, client)).status
    expect(await token()).toBe(200)
    const [end] = await pair.primary.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn')
    await expect
      .poll(
        () => pair.standby.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS follows', [end?.lsn]),
        atIntervals,
      )
      .toEqual([{ follows: true }])
    await pair.disconnect()
    // Acknowledged, and lost with the primary.
    expect([await token(), await token()]).toEqual([200, 200])
    const before = await records(pair.primary.query)
    await pair.promoteWithLoss()
    await expect
      .poll(() => pair.standby.query('SELECT pg_is_in_recovery() AS waits'), atIntervals)
      .toEqual([{ waits: false }])
    name.target.port = pair.standby.port
    if (isUnderWay) {
      // A lock that its writer waits for: the answer is lost with the connection.
      await pair.primary.query('BEGIN')
      await pair.primary.query('LOCK TABLE audit_record IN EXCLUSIVE MODE')
    }
    const pending = isUnderWay ? token() : undefined
    await expect.poll(() => pair.primary.query(commitBackend), atIntervals).toHaveLength(1)
    if (isUnderWay) await pair.primary.query('ROLLBACK').catch(() => {})
    await pair.primary.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
    )
    await pending
    await expect.poll(token, atIntervals).toBe(200)
    expect(await token()).toBe(200)
    const after = await records(pair.standby.query)
    const [loss, ...again] = after.filter(({ outcome }) => outcome === 'records lost')
    expect(again, 'one loss is recorded once').toEqual([])
    const chain = before.at(-1)?.chain
    expect(loss).toMatchObject({ seq: 1 })
    expect(loss?.chain).not.toBe(chain)
    const detail = JSON.parse(loss?.detail ?? '{}') as Record<string, unknown>
    expect(detail).toMatchObject({ chain, found: after.filter((each) => each.chain === chain).at(-1)?.seq })
    expect(Number(detail['acknowledged'])).toBeGreaterThan(Number(detail['found']))
    expect(after.filter((each) => each.chain === loss?.chain).at(-1)?.outcome).toBe('issued')
    expect(running.log()).toContain('"event":"ledger_records_lost"')
    expect(await (await fetch(`${running.url}/readyz`)).json()).toMatchObject({
      warnings: ['ledger_records_lost'],
    })
    await running.close()
    await name.close()
  },
)

test('a cancelled wait for a synchronous standby lets no token out, and the chain goes on', async () => {
  const running = await startService({ database: pair.primary })
  const token = async () => (await requestToken(running.url, client)).status
  expect(await token()).toBe(200)
  const set = async (standbys: string): Promise<void> => {
    await pair.primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`)
    await pair.primary.query('SELECT pg_reload_conf()')
  }
  const [before] = await records(pair.primary.query)
  await pair.primary.query('SET synchronous_commit = local')
  await set('absent')
  // The first ones may be committed before the setting is in force.
  await expect
    .poll(async () => {
      let status: number | undefined
      void token().then((answered) => {
        status = answered
      })
      while (status === undefined) {
        await pair.primary.query(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
            WHERE wait_event = 'SyncRep' AND query LIKE 'SELECT ledger_commit%'`,
        )
      }
      return status
    }, atIntervals)
    .toBe(503)
  expect(running.log()).toContain('wait for the synchronous standby was cancelled')
  // A change is told about, because it is made.
  const told: true[] = []
  const database = openDatabase(pair.primary.url, { onUnconfirmed: () => void told.push(true) })
  const other = await registerClient(pair.primary)
  const context = { database, clock: systemClock, actor: { by: 'a test' } }
  let isOver = false
  const change = setClientStatus(context, other.clientId, 'disabled').finally(() => {
    isOver = true
  })
  await expect
    .poll(async () => {
      await pair.primary.query(
        `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
      )
      return isOver
    }, atIntervals)
    .toBe(true)
  expect([await change, told]).toEqual([true, [true]])
  await database.close()
  await set('')
  await expect.poll(token, atIntervals).toBe(200)
  const chain = (await records(pair.primary.query)).filter((each) => each.chain === before?.chain)
  expect(chain.map(({ seq }) => seq)).toEqual(chain.map((_, index) => index + 1))
  expect(running.log()).not.toContain('ledger_records_lost')
  await running.close()
})

test('a synchronous standby that does not confirm is named once, and nobody is told to end the sessions that wait', async () => {
  const running = await startService({ database: pair.primary })
  const token = async () => (await requestToken(running.url, client)).status
  expect(await token()).toBe(200)
  const set = async (standbys: string): Promise<void> => {
    await pair.primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`)
    await pair.primary.query('SELECT pg_reload_conf()')
  }
  await pair.primary.query('SET synchronous_commit = local')
  await set('absent')
  const named = () => running.log().split('"event":"commits_wait_for_standby"').length - 1
  const ask = async () => {
    await token()
    return named()
  }
  await expect.poll(ask, { interval: 100, timeout: 10_000 }).toBe(1)
  expect([await token(), await token()]).toEqual([503, 503])
  await set('')
  await expect.poll(token, atIntervals).toBe(200)
  expect(named()).toBe(1)
  expect(running.log()).not.toContain('commits_blocked')
  await running.close()
})

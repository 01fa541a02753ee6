/** A real standby that is promoted while the old primary stays reachable, and a password that changes. */
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { checkConnection } from '../../src/database/check.ts'
import { command } from '../support/command.ts'
import { openPrimaryAndStandby, openSwitch, type PrimaryAndStandby } from '../support/primary-and-standby.ts'
import {
  endLeft,
  environmentOf,
  type ServiceProcess,
  startServiceProcess,
  untilReady,
} from '../support/process.ts'
import { registerClient, requestToken, startService, type TestClient } from '../support/service.ts'

/** Starts `serve` and waits until it can issue. It ends with the test. */
async function serve(environment: Readonly<Record<string, string>>): Promise<ServiceProcess> {
  const service = await startServiceProcess(['serve'], { environment })
  onTestFinished(() => endLeft(service))
  await untilReady(service)
  return service
}

let pair: PrimaryAndStandby
let client: TestClient
let other: TestClient

beforeEach(async () => {
  pair = await openPrimaryAndStandby()
  client = await registerClient(pair.primary)
  other = await registerClient(pair.primary)
})
afterEach(async () => {
  await pair.close()
})

const atIntervals = { interval: 100 }

/** As the old primary of a failover: it answers, and takes no changes. */
async function makeReadOnly(): Promise<void> {
  await pair.primary.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await pair.primary.query('SELECT pg_reload_conf()')
}

const disable = (id: string) =>
  pair.standby.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [id])

describe('open connections stay with the old primary', () => {
  test('which is read-only: not ready, then with the new one, without a restart', async () => {
    const name = await openSwitch(pair.primary.port)
    const url = `postgresql://mintmark@127.0.0.1:${name.port}/postgres`
    const running = await startService({ database: { ...pair.primary, url } })
    expect((await requestToken(running.url, client)).status).toBe(200)
    await makeReadOnly()
    // Without any request: a load balancer must hear of it.
    await expect.poll(async () => (await fetch(`${running.url}/readyz`)).status, atIntervals).toBe(503)
    // Readers and commits notice it on their own, each within a second.
    await expect.poll(running.log).toMatch(/"event":"database_readers_replaced","reason":"read_only"/)
    await expect.poll(running.log).toMatch(/"event":"database_fault".*read-only/)
    expect((await requestToken(running.url, client)).status).toBe(503)
    await pair.promote()
    await disable(other.clientId)
    name.target.port = pair.standby.port
    await expect.poll(async () => (await requestToken(running.url, client)).status, atIntervals).toBe(200)
    await expect.poll(async () => (await fetch(`${running.url}/readyz`)).status, atIntervals).toBe(200)
    expect((await requestToken(running.url, other)).status).toBe(401)
    await expect.poll(running.log).toContain('"event":"database_back"')
    await running.close()
    await name.close()
  })

  test('which does not know that it is old: a commit elsewhere shows it', async () => {
    const name = await openSwitch(pair.primary.port)
    const url = `postgresql://mintmark@127.0.0.1:${name.port}/postgres`
    const running = await startService({ database: { ...pair.primary, url } })
    for (const each of [client, other]) expect((await requestToken(running.url, each)).status).toBe(200)
    await pair.promote()
    name.target.port = pair.standby.port
    await disable(other.clientId)
    // Only the connection of the commits breaks.
    await pair.primary.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ledger_commit%'`,
    )
    await expect.poll(async () => (await requestToken(running.url, other)).status, atIntervals).toBe(401)
    expect((await requestToken(running.url, client)).status).toBe(200)
    await expect.poll(running.log).toMatch(/"event":"database_readers_replaced","reason":"unknown_version"/)
    await running.close()
    await name.close()
  })

  test('with the connection of the commits: what was read elsewhere shows it', async () => {
    const name = await openSwitch(pair.primary.port)
    const url = `postgresql://mintmark@127.0.0.1:${name.port}/postgres`
    const running = await startService({ database: { ...pair.primary, url } })
    expect((await requestToken(running.url, client)).status).toBe(200)
    await pair.promote()
    name.target.port = pair.standby.port
    await disable(other.clientId)
    await pair.primary.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'mintmark' AND query NOT LIKE 'SELECT ledger_commit%'`,
    )
    await expect
      .poll(async () => {
        await requestToken(running.url, client)
        return await pair.standby.query(
          `SELECT 1 FROM audit_record WHERE outcome = 'issued' AND client_id = $1`,
          [client.clientId],
        )
      }, atIntervals)
      .not.toHaveLength(1)
    expect((await requestToken(running.url, client)).status).toBe(200)
    await running.close()
    await name.close()
  })
})

test('a database that takes no records is noticed without a request, and so is its end', async () => {
  const running = await startService({ database: pair.primary })
  const ready = async () => await (await fetch(`${running.url}/readyz`)).json()
  await pair.primary.query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON audit_record FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
  await expect
    .poll(ready, atIntervals)
    .toMatchObject({ status: 'not ready', checks: { database: true, ledger: false } })
  await pair.primary.query('DROP TRIGGER refuse ON audit_record')
  await expect.poll(ready, atIntervals).toMatchObject({ status: 'ready' })
  await running.close()
})

test('target_session_attrs finds the primary among several hosts, at the start and after a failover', async () => {
  const hosts = `127.0.0.1:1,127.0.0.1:${pair.standby.port},127.0.0.1:${pair.primary.port}`
  const url = `postgresql://mintmark@${hosts}/postgres?target_session_attrs=read-write`
  const running = await serve(environmentOf(url))
  expect((await requestToken(running.url, client)).status).toBe(200)
  await pair.promote()
  await disable(other.clientId)
  await makeReadOnly()
  await expect.poll(async () => (await requestToken(running.url, other)).status, atIntervals).toBe(401)
  await expect.poll(async () => (await requestToken(running.url, client)).status, atIntervals).toBe(200)
  expect(await command(environmentOf(url), 'clients', 'enable', other.clientId)).toMatchObject({ code: 0 })
  expect((await requestToken(running.url, other)).status).toBe(200)
  expect(await running.end('SIGTERM')).toBe(0)
})

test('"any" takes the first host that answers, and says so if that is a standby', async () => {
  const hosts = `127.0.0.1:1,127.0.0.1:${pair.standby.port},127.0.0.1:${pair.primary.port}`
  await expect(checkConnection(`postgresql://mintmark@${hosts}/postgres`)).rejects.toThrow(
    /standby.*read-write/,
  )
})

test('a password that changes while the service runs is read from its file again', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'mintmark-password-'))
  const file = join(directory, 'url')
  const setPassword = async (password: string): Promise<void> => {
    await pair.primary.query(`ALTER ROLE rotated PASSWORD '${password}'`)
    writeFileSync(file, `postgresql://rotated:${password}@127.0.0.1:${pair.primary.port}/postgres\n`, {
      mode: 0o600,
    })
  }
  await pair.primary.query('CREATE ROLE rotated SUPERUSER LOGIN')
  await setPassword('spring')
  await expect(
    checkConnection(`postgresql://rotated@127.0.0.1:${pair.primary.port}/postgres`),
  ).rejects.toThrow(/: it asks for a password, and the URL has none\./)
  const running = await serve({ ...environmentOf(''), DATABASE_URL_FILE: file })
  expect((await requestToken(running.url, client)).status).toBe(200)
  for (const password of ['summer', 'autumn']) {
    await setPassword(password)
    await pair.primary.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'`,
    )
    await expect.poll(async () => (await requestToken(running.url, client)).status, atIntervals).toBe(200)
  }
  await running.until(() => running.output().includes('"event":"database_url_reread"'))
  expect(running.output()).not.toMatch(/spring|summer|autumn/)
  expect(await running.end('SIGTERM')).toBe(0)
  await rm(directory, { recursive: true })
})

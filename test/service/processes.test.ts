import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase, issuedSinceLatestChange } from '../support/database.ts'
import { recorded, stall, startLoad } from '../support/load.ts'
import {
  environmentOf,
  nodeArguments,
  runCommand,
  type ServiceProcess,
  serve,
  startCommand,
  startProcess,
} from '../support/process.ts'
import { exchange, freePort, registerClient, requestToken, type TestClient } from '../support/service.ts'

/** The service as processes: killed in the middle, ended in order, and two of them on one database. */

let database: FreshDatabase
let client: TestClient

beforeAll(async () => {
  database = await freshDatabase()
  client = await registerClient(database)
})

afterAll(() => database.drop())

test('killed with SIGKILL in the middle of load, twenty times: no token without its record', {
  timeout: 120_000,
}, async () => {
  const seen = new Set<string>()
  for (let round = 0; round < 20; round += 1) {
    const service = await serve(database.url, { MINTMARK_LOG_LEVEL: 'silent' })
    const load = startLoad(service.url, client)
    // Until it is warm, and then to some moment inside a commit.
    while (load.tokens.size < 20) await sleep(5)
    await sleep(randomInt(0, 120))
    expect(await service.end('SIGKILL')).toBe('SIGKILL')
    await load.stop()
    expect(load.statuses.every((status) => status === 200)).toBe(true)
    for (const token of load.tokens) seen.add(token)
  }
  expect(seen.size).toBeGreaterThan(20 * 20)
  expect(await recorded(database, seen)).toBe(seen.size)
})

test('SIGTERM under load: every request that was taken is answered, and the chain is closed', async () => {
  const service = await serve(database.url)
  const load = startLoad(service.url, client)
  while (load.tokens.size < 200) await sleep(5)
  expect(await service.end('SIGTERM')).toBe(0)
  await load.stop()
  expect(new Set(load.statuses)).toEqual(new Set([200]))
  expect(await recorded(database, load.tokens)).toBe(load.tokens.size)
  const [last] = await database.query(
    'SELECT type, outcome FROM audit_record WHERE chain = (SELECT max(chain) FROM audit_chain) ORDER BY seq DESC LIMIT 1',
  )
  expect(last).toEqual({ type: 'service', outcome: 'stopped' })
})

test('SIGTERM, and then the launcher goes away too: what is under way is answered all the same', async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const environment = environmentOf(database.url, { PORT: String(port) })
  const service = await startProcess(['serve'], { url, environment, hasChannel: true }, (output) =>
    output.includes('"event":"listening"'),
  )
  const request = await stall(url)
  const ended = service.end('SIGTERM')
  while (!service.output().includes('"event":"closing"')) await sleep(5)
  service.child.disconnect()
  // Time for a service that has misunderstood it.
  await sleep(200)
  expect(await request.finish()).toMatch(/^HTTP\/1\.1 401 /)
  expect(await ended).toBe(0)
})

describe('two processes on one database', () => {
  let first: ServiceProcess
  let second: ServiceProcess

  beforeAll(async () => {
    first = await serve(database.url)
    second = await serve(database.url)
  })

  afterAll(async () => {
    await Promise.all([first.end('SIGTERM'), second.end('SIGTERM')])
  })

  test('sign with one key', async () => {
    const keys = await Promise.all(
      [first, second].map(async ({ url }) => await (await fetch(`${url}/.well-known/jwks.json`)).text()),
    )
    expect(keys[0]).toBe(keys[1])
    expect(await database.query('SELECT kid FROM signing_key')).toHaveLength(1)
  })

  test('and ten more that force a rotation at once make one key per generation, without a gap', async () => {
    const forced = Array.from({ length: 10 }, () => startCommand(database.url, ['keys', 'rotate', '--now']))
    expect(await Promise.all(forced)).toEqual(forced.map(() => 0))
    const keys = await database.query<{ generation: number }>(
      'SELECT generation FROM signing_key ORDER BY generation',
    )
    expect(keys.map(({ generation }) => generation)).toEqual(
      Array.from({ length: keys.length }, (_, index) => index + 1),
    )
    // Those that came while a next key waited moved that one instead of making another.
    expect(keys.length).toBeGreaterThan(1)
    expect(keys.length).toBeLessThanOrEqual(11)
    for (const { url } of [first, second]) expect((await requestToken(url, client)).status).toBe(200)
  })

  test('after `clients disable` has returned, neither issues one more token', async () => {
    const loads = [startLoad(first.url, client, 8), startLoad(second.url, client, 8)]
    while (loads.some((load) => load.tokens.size < 50)) await sleep(5)
    // The command blocks this thread, and with it the callers; what was under way in the services goes on.
    const result = runCommand(database.url, ['clients', 'disable', client.clientId])
    expect(result, result.stderr).toMatchObject({ code: 0 })
    await sleep(300)
    await Promise.all(loads.map((load) => load.stop()))
    expect(await issuedSinceLatestChange(database, client.clientId)).toBe(0)
    for (const load of loads) expect(load.statuses.at(-1)).toBe(401)
    expect(runCommand(database.url, ['clients', 'enable', client.clientId]).code).toBe(0)
    for (const { url } of [first, second]) expect((await requestToken(url, client)).status).toBe(200)
  })
})

test.skipIf(process.platform !== 'linux')(
  'a full disk under the log costs lines, and neither a token nor the process',
  async () => {
    const database = await freshDatabase()
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, [...nodeArguments, 'serve'], {
      env: environmentOf(database.url, { PORT: String(port) }),
      stdio: ['ignore', full, 'ignore'],
    })
    closeSync(full)
    const ended = once(child, 'exit')
    try {
      await expect
        .poll(async () => (await fetch(`${url}/readyz`).catch(() => undefined))?.status, { timeout: 20_000 })
        .toBe(200)
      const client = await registerClient(database)
      for (let round = 0; round < 20; round += 1) expect((await requestToken(url, client)).status).toBe(200)
      expect(await exchange(url, 'GARBAGE\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
      expect((await requestToken(url, client)).status).toBe(200)
      expect(await database.query(`SELECT 1 FROM audit_record WHERE reason = 'internal_error'`)).toEqual([])
    } finally {
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
      await database.drop()
    }
  },
)

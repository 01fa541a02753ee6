/**
 * `WORKERS`: several processes behind one port are one service. They share its load and its bounds, and end together and
 * in order. How they end in other ways, `test/drill/workers.test.ts` tries.
 */
import { createServer } from 'node:net'
import tls from 'node:tls'
import { describe, expect } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { certificate, privateKey } from '../support/certificate.ts'
import type { FreshDatabase } from '../support/database.ts'
import { recorded, startLoad } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import { commandProcess, environmentOf, sharedKey } from '../support/process.ts'
import { basic } from '../support/service.ts'
import { until } from '../support/wait.ts'
import { chainEnds, leftOf, linesOf, test, workersOf } from '../support/workers.ts'

describe('two workers', () => {
  test('both answer on one port, with a chain each, and the log says which line is whose', async ({
    client,
    database,
    serveWith,
  }) => {
    const service = await serveWith(2)
    const workers = workersOf(service)
    expect(new Set([...workers, service.processId]).size).toBe(3)
    const load = startLoad(service.url, client)
    await until(() => load.tokens.size > 500)
    await load.stop()
    expect(new Set(load.statuses)).toEqual(new Set([200]))
    const chains = await database.query<{ openedBy: string }>(
      `SELECT opened_by AS "openedBy" FROM audit_chain
        WHERE chain IN (SELECT chain FROM audit_record WHERE jti = ANY($1))`,
      [[...load.tokens]],
    )
    expect(chains.map(({ openedBy }) => Number(openedBy.split(' ')[1])).sort()).toEqual(workers.toSorted())

    expect(() =>
      service
        .output()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).not.toThrow()
    const requests = linesOf(service, 'request')
    expect(requests.length).toBeGreaterThan(500)
    expect(new Set(requests.map((line) => line['processId']))).toEqual(new Set(workers))
    expect(new Set(requests.map((line) => line['requestId'])).size).toBe(requests.length)
    expect(linesOf(service, 'listening')).toMatchObject([{ processId: service.processId, workers: 2 }])
    expect(await service.end('SIGTERM')).toBe(0)
  })

  test('share one bound on guesses, so that two are worth no more of them', async ({ serveWith }) => {
    const service = await serveWith(2, { MINTMARK_FAILURES_PER_CLIENT_MAX: '6' })
    const statuses: number[] = []
    for (let guess = 0; guess < 30; guess += 1) {
      const response = await fetch(`${service.url}/token`, {
        method: 'POST',
        // A connection for each, so that each goes to the next worker.
        headers: { authorization: basic('somebody', `guess-${guess}`), connection: 'close' },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
      await response.text()
      statuses.push(response.status)
    }
    expect(statuses.filter((status) => status !== 429)).toEqual(Array.from({ length: 6 }, () => 401))
    expect(await service.end('SIGTERM')).toBe(0)
  })

  test('resume a session that the other one began, of TLS 1.2 and of TLS 1.3', async ({ serveWith }) => {
    const service = await serveWith(2, {
      MINTMARK_TLS_CERTIFICATE: certificate,
      MINTMARK_TLS_PRIVATE_KEY: privateKey,
    })
    const port = Number(new URL(service.url).port)
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const first = await greet(port, version)
      expect(first.resumed, version).toBe(false)
      let other = await greet(port, version, first.session)
      while (other.worker === first.worker) other = await greet(port, version, first.session)
      expect(other.resumed, version).toBe(true)
    }
    expect(await service.end('SIGTERM')).toBe(0)
  })
})

interface Greeting {
  /** What its request ids begin with: each process has its own. */
  readonly worker: string
  readonly resumed: boolean
  readonly session: Buffer
}

/** One request over a TLS connection of its own. */
function greet(port: number, version: tls.SecureVersion, session?: Buffer): Promise<Greeting> {
  return new Promise((resolve, reject) => {
    const limits = { minVersion: version, maxVersion: version }
    const resumption = session === undefined ? {} : { session }
    const socket = tls.connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...limits,
      ...resumption,
    })
    let answer = ''
    let latest: Buffer | undefined
    socket.on('session', (given) => {
      latest = given
    })
    socket.on('error', reject).on('data', (chunk) => {
      answer += String(chunk)
    })
    socket.on('end', () => {
      const [, requestId = ''] = /x-request-id: (\S+)/i.exec(answer) ?? []
      const worker = requestId.slice(0, requestId.lastIndexOf('-'))
      resolve({ worker, resumed: socket.isSessionReused(), session: latest ?? session ?? Buffer.alloc(0) })
    })
    socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  })
}

test('SIGTERM under load: every request that was taken is answered, and nobody is left', async ({
  client,
  database,
  serveWith,
}) => {
  const service = await serveWith(2)
  const load = startLoad(service.url, client)
  await until(() => load.tokens.size > 200)
  expect(await service.end('SIGTERM')).toBe(0)
  expect(leftOf(service)).toEqual([])
  await load.stop()
  expect(new Set(load.statuses)).toEqual(new Set([200]))
  expect(await recorded(database, load.tokens)).toBe(load.tokens.size)
  expect(await chainEnds(database, workersOf(service))).toEqual(['service stopped', 'service stopped'])
  expect(linesOf(service, 'worker_ended')).toEqual([])
})

describe('a start that fails says why once, and ends as with one process', () => {
  const failure = (database: FreshDatabase, workers: number, more: Record<string, string>) =>
    commandProcess(
      environmentOf(database.url, { WORKERS: String(workers), MINTMARK_LOG_LEVEL: 'silent', ...more }),
      'serve',
    )

  test('a number that makes no sense', async ({ database }) => {
    const says = (number: string) => `WORKERS: must be a whole number from 1 to 64; it is "${number}".`
    for (const number of ['65', '-1', '1.5', 'two']) {
      expect(() => readConfig({ WORKERS: number })).toThrow(
        expect.objectContaining({ message: says(number), exitCode: 1 }),
      )
    }
    expect(await failure(database, 1, { WORKERS: '0' })).toMatchObject({
      code: 1,
      stderr: `mintmark: ${says('0')}\n`,
    })
  })

  test('a port in use', async ({ database }) => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const alone = await failure(database, 1, { PORT: String(port) })
    expect(alone).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^mintmark: PORT: .* in use\. .*\n$/),
    })
    expect(await failure(database, 3, { PORT: String(port) })).toEqual(alone)
    server.close()
  })

  test('another key-encryption key than the one that sealed the keys', async ({ database, startService }) => {
    const before = await startService({ key: Buffer.from(sharedKey, 'base64') })
    await before.close()
    expect(sharedKey).not.toContain('AAAAAAAA')
    const wrong = { PORT: String(await freePort()), MINTMARK_KEY_ENCRYPTION_KEY: 'A'.repeat(43) }
    const alone = await failure(database, 1, wrong)
    expect(alone).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^mintmark: .* No key was created.*\n$/),
    })
    expect(await failure(database, 3, wrong)).toEqual(alone)
  })
})

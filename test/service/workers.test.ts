/**
 * `WORKERS`: several processes behind one port are one service. They share its load and its bounds, one that
 * dies is replaced, they end together and in order, and nothing of them is left behind.
 *
 * Long because starting and stopping processes is the same for all cases, and each ends another way.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import tls from 'node:tls'
import { describe, expect } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { certificate, privateKey } from '../support/certificate.ts'
import type { FreshDatabase } from '../support/database.ts'
import { test as base } from '../support/fixtures.ts'
import { recorded, stall, startLoad } from '../support/load.ts'
import {
  commandProcess,
  environmentOf,
  isRunning,
  type ServiceProcess,
  sharedKey,
  signalGroup,
  startServiceProcess,
} from '../support/process.ts'
import { basic, freePort, registerClient, requestToken } from '../support/service.ts'
import { until } from '../support/wait.ts'

const test = base
  .extend('client', ({ database }) => registerClient(database))
  /** Starts `serve` or `start` as the leader of a group, and waits until it is ready. */
  .extend('startGroup', ({ track }) => {
    return async (
      name: 'serve' | 'start',
      environment: Readonly<Record<string, string>>,
      isReady: (output: string) => boolean,
    ): Promise<ServiceProcess> => {
      const service = track(await startServiceProcess([name], { environment, leadsGroup: true }))
      await service.until(() => isReady(service.output()))
      return service
    }
  })
  /** Starts `serve` with workers, and waits until all of them are ready. */
  .extend('serveWith', ({ database, startGroup }) => {
    return (workers: number, more: Readonly<Record<string, string>> = {}) =>
      startGroup('serve', environmentOf(database.url, { WORKERS: String(workers), ...more }), (output) =>
        output.includes('"event":"listening"'),
      )
  })

type Line = Readonly<Record<string, unknown>>

/** Of its log, what is about one event. Each line must be one JSON object, whichever process wrote it. */
function linesOf(service: ServiceProcess, event: string): Line[] {
  const output = service.output()
  const mark = `"event":"${event}"`
  const lines: Line[] = []
  // It is asked again and again while the output grows, so it looks for the lines and reads no others.
  for (let at = output.indexOf(mark); at !== -1; at = output.indexOf(mark, at + mark.length)) {
    const end = output.indexOf('\n', at)
    if (end === -1) break
    lines.push(JSON.parse(output.slice(output.lastIndexOf('\n', at) + 1, end)))
  }
  return lines
}

/** The process ids of the workers that ever were ready, in that order. */
const workersOf = (service: ServiceProcess): number[] =>
  linesOf(service, 'worker_ready').map((line) => Number(line['workerProcessId']))

/** Which of its processes still run. */
const leftOf = (service: ServiceProcess): number[] =>
  [service.processId, ...workersOf(service)].filter(isRunning)

/** What the chain of each process says last, not counting one that it opened to make a key. */
async function chainEnds(database: FreshDatabase, processIds: readonly number[]): Promise<unknown[]> {
  const rows = await database.query(
    `SELECT DISTINCT ON (chain) type || ' ' || outcome AS said
       FROM audit_record JOIN audit_chain USING (chain)
      WHERE split_part(opened_by, ' ', 2)::int = ANY($1)
        AND chain IN (SELECT chain FROM audit_record WHERE type = 'service')
      ORDER BY chain, seq DESC`,
    [processIds],
  )
  return rows.map(({ said }) => said)
}

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

describe('a worker that ends', () => {
  test('killed under load: it is replaced, the service goes on, no token lacks its record', async ({
    client,
    database,
    serveWith,
  }) => {
    const service = await serveWith(2)
    const load = startLoad(service.url, client)
    for (let round = 0; round < 3; round += 1) {
      await until(() => linesOf(service, 'worker_ready').length === 2 + round)
      const before = load.tokens.size
      await until(() => load.tokens.size > before + 100)
      // Whoever is at work now: connections that break go to those who are left, and stay there.
      const victim = Number(linesOf(service, 'request').at(-1)?.['processId'])
      process.kill(victim, 'SIGKILL')
      await until(() => linesOf(service, 'worker_ended').length === round + 1)
      expect(linesOf(service, 'worker_ended').at(-1)).toMatchObject({
        workerProcessId: victim,
        signal: 'SIGKILL',
        code: null,
      })
    }
    await until(() => linesOf(service, 'worker_ready').length === 5)
    await load.stop()
    expect(new Set(load.statuses)).toEqual(new Set([200]))
    expect(await recorded(database, load.tokens)).toBe(load.tokens.size)
    expect(await service.end('SIGTERM')).toBe(0)
  })

  test('before it could take a connection: the connection is closed, and nobody waits for it for ever', async ({
    serveWith,
  }) => {
    const service = await serveWith(2)
    const [worker = 0] = workersOf(service)
    process.kill(worker, 'SIGSTOP')
    // It is handed one of these, does not answer, and is handed no other.
    const requests = Array.from({ length: 3 }, () =>
      fetch(`${service.url}/livez`, { headers: { connection: 'close' } }),
    )
    let answered = 0
    for (const request of requests) request.then(() => (answered += 1)).catch(() => {})
    await until(() => answered === 2)
    process.kill(worker, 'SIGKILL')
    const outcomes = (await Promise.allSettled(requests)).map(({ status }) => status)
    expect(outcomes.toSorted()).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(await service.end('SIGTERM')).toBe(0)
  })

  test('asked to with SIGTERM: it answers what it has, and is replaced', async ({
    client,
    database,
    serveWith,
  }) => {
    const service = await serveWith(2)
    const load = startLoad(service.url, client)
    await until(() => load.tokens.size > 200)
    const [worker = 0] = workersOf(service)
    process.kill(worker, 'SIGTERM')
    await until(() => linesOf(service, 'worker_ready').length === 3)
    await load.stop()
    expect(new Set(load.statuses)).toEqual(new Set([200]))
    expect(linesOf(service, 'worker_ended')).toMatchObject([{ workerProcessId: worker, code: 0 }])
    expect(await chainEnds(database, [worker])).toEqual(['service stopped'])
    expect(await service.end('SIGTERM')).toBe(0)
  })
})

describe('the end', () => {
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

  test('Ctrl-C reaches every process of the terminal, and ends them in order all the same', async ({
    client,
    database,
    serveWith,
  }) => {
    const service = await serveWith(2)
    const load = startLoad(service.url, client)
    await until(() => load.tokens.size > 200)
    signalGroup(service.processId, 'SIGINT')
    expect(await service.end('SIGCONT')).toBe(0)
    await load.stop()
    expect(new Set(load.statuses)).toEqual(new Set([200]))
    expect(await chainEnds(database, workersOf(service))).toEqual(['service stopped', 'service stopped'])
    expect(linesOf(service, 'closed')).toHaveLength(3)
  })

  test('a second signal waits for nobody, and leaves nobody behind', async ({ serveWith }) => {
    const service = await serveWith(2)
    // Enough of them for both.
    const stalled = await Promise.all(Array.from({ length: 4 }, () => stall(service.url)))
    service.child.kill('SIGTERM')
    await until(() => linesOf(service, 'closing').length === 3)
    expect(await service.end('SIGTERM')).toBe(1)
    await until(() => leftOf(service).length === 0)
    for (const { socket } of stalled) socket.destroy()
  })

  test('a killed primary: its workers answer what they have, and end by themselves', async ({
    client,
    database,
    serveWith,
  }) => {
    const service = await serveWith(2)
    const load = startLoad(service.url, client)
    await until(() => load.tokens.size > 200)
    expect(await service.end('SIGKILL')).toBe('SIGKILL')
    await until(() => leftOf(service).length === 0)
    await load.stop()
    expect(new Set(load.statuses)).toEqual(new Set([200]))
    expect(await recorded(database, load.tokens)).toBe(load.tokens.size)
    expect(await chainEnds(database, workersOf(service))).toEqual(['service stopped', 'service stopped'])
  })
})

describe('the embedded database', () => {
  test('is held while anybody needs it, by whoever is left, and makes one first key', async ({
    files,
    startGroup,
  }) => {
    const port = await freePort()
    const directory = files.path('data')
    const environment = { MINTMARK_DATA_DIR: directory, PORT: String(port), WORKERS: '2' }
    const isReady = (output: string) => output.includes('jwks.json\n') && output.includes('worker_ready')
    const start = () => startGroup('start', environment, isReady)
    const serverFile = `${directory}/postgres/postmaster.pid`

    const first = await start()
    expect(first.output()).toContain(`listening on ${first.url}, 2 workers`)
    const example = {
      clientId: 'billing',
      secret: readFileSync(`${directory}/billing.secret`, 'utf8').trim(),
    }
    expect((await requestToken(first.url, example)).status).toBe(200)
    const keys = await commandProcess(environment, 'keys', 'list', '--json')
    expect(JSON.parse(keys.stdout).keys, keys.stdout).toHaveLength(1)
    expect(await first.end('SIGTERM')).toBe(0)
    expect(existsSync(serverFile)).toBe(false)

    const second = await start()
    expect((await requestToken(second.url, example)).status).toBe(200)
    expect(existsSync(serverFile)).toBe(true)
    expect(await second.end('SIGKILL')).toBe('SIGKILL')
    await until(() => leftOf(second).length === 0)
    expect(existsSync(serverFile)).toBe(false)
  })
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

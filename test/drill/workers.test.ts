/** Workers that end in every way: one that dies is replaced, nobody is left behind, and no token lacks its record. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { recorded, stall, startLoad } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import { commandProcess, signalGroup } from '../support/process.ts'
import { requestTokenPatiently } from '../support/service.ts'
import { until } from '../support/wait.ts'
import { chainEnds, leftOf, linesOf, test, workersOf } from '../support/workers.ts'

// No duration decides here, so once is enough.
const once = { retry: 0 }

describe('a worker that ends', once, () => {
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

describe('the end', once, () => {
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

describe('the embedded database', once, () => {
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
    expect((await requestTokenPatiently(first.url, example)).status).toBe(200)
    const keys = await commandProcess(environment, 'keys', 'list', '--json')
    expect(JSON.parse(keys.stdout).keys, keys.stdout).toHaveLength(1)
    expect(await first.end('SIGTERM')).toBe(0)
    expect(existsSync(serverFile)).toBe(false)

    const second = await start()
    expect((await requestTokenPatiently(second.url, example)).status).toBe(200)
    expect(existsSync(serverFile)).toBe(true)
    expect(await second.end('SIGKILL')).toBe('SIGKILL')
    await until(() => leftOf(second).length === 0)
    expect(existsSync(serverFile)).toBe(false)
  })
})

import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { command } from '../support/command.ts'
import { issuedSinceLatestChange } from '../support/database.ts'
import { sharedTest, test } from '../support/fixtures.ts'
import { recorded, stall, startLoad } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import {
  environmentOf,
  launcher,
  start,
  startMintmark,
  startServiceProcess,
  untilReady,
} from '../support/process.ts'
import { exchange, registerClient, requestTokenPatiently } from '../support/service.ts'
import { until } from '../support/wait.ts'

/** The service as processes: ended in order, and two of them on one database. */

/** Two processes on the database of the file. */
const pairTest = sharedTest
  .extend('client', { scope: 'file' }, ({ database }) => registerClient(database))
  .extend('pair', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const start = () => startServiceProcess(['serve'], { environment: environmentOf(database.url) })
    const pair = await Promise.all([start(), start()])
    onCleanup(async () => {
      for (const service of pair) await service.end('SIGTERM')
    })
    for (const service of pair) await untilReady(service)
    return pair
  })

test('SIGTERM under load: every request that was taken is answered, and the chain is closed', async ({
  database,
  serve,
}) => {
  const client = await registerClient(database)
  const service = await serve()
  const load = startLoad(service.url, client)
  await until(() => load.tokens.size >= 200)
  expect(await service.end('SIGTERM')).toBe(0)
  await load.stop()
  expect(new Set(load.statuses)).toEqual(new Set([200]))
  expect(await recorded(database, load.tokens)).toBe(load.tokens.size)
  const [last] = await database.query(
    `SELECT type, outcome FROM audit_record WHERE chain = (SELECT max(chain) FROM audit_record WHERE type = 'service')
      ORDER BY seq DESC LIMIT 1`,
  )
  expect(last).toEqual({ type: 'service', outcome: 'stopped' })
})

test('SIGTERM, and then the launcher goes away too: what is under way is answered all the same', async ({
  database,
  track,
}) => {
  const environment = environmentOf(database.url)
  const service = track(await startServiceProcess(['serve'], { environment, hasChannel: true }))
  await untilReady(service)
  const request = await stall(service.url)
  const ended = service.end('SIGTERM')
  await until(() => service.output().includes('"event":"closing"'))
  service.child.disconnect()
  // Time for a service that has misunderstood it.
  await sleep(200)
  expect(await request.finish()).toMatch(/^HTTP\/1\.1 401 /)
  expect(await ended).toBe(0)
})

test.skipIf(process.platform !== 'linux').for([
  ['becomes the service, and is no process beside it', {}, true],
  ['stays above the service where npm started it', { npm_lifecycle_event: 'start' }, false],
] as const)('the launcher %s', async ([, more, becomesIt], { database, track }) => {
  const port = await freePort()
  const environment = environmentOf(database.url, { PORT: String(port), ...more })
  const launched = track(start(launcher, ['serve'], { environment }))
  await untilReady({ ...launched, url: `http://127.0.0.1:${port}` })
  const commandLine = readFileSync(`/proc/${launched.processId}/cmdline`, 'utf8')
  expect(commandLine.includes('src/cli/main.ts')).toBe(becomesIt)
  expect(await launched.end('SIGTERM')).toBe(0)
})

/** Writes the name of every file that a process loads. */
const watch = `import { registerHooks } from 'node:module'
  registerHooks({ load(url, context, next) { console.error(url); return next(url, context) } })`

test('the service loads neither the other commands, nor compilers for schemas that no route has', async ({
  database,
  track,
}) => {
  const options = `--import=data:text/javascript,${encodeURIComponent(watch)}`
  const environment = environmentOf(database.url, { NODE_OPTIONS: options })
  const service = track(await startServiceProcess(['serve'], { environment }))
  await untilReady(service)
  expect(await service.end('SIGTERM')).toBe(0)
  const loaded = service.stderr()
  // From the names alone: a difference is then a line, and not all that was loaded.
  const packages = new Set(
    Array.from(loaded.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g), ([, name]) => name),
  )
  expect(loaded.includes('/src/token/issue.ts')).toBe(true)
  expect(loaded.match(/\/src\/cli\/commands\/[^\n]*/g)).toEqual(['/src/cli/commands/serve.ts'])
  expect(packages).toContain('fastify')
  expect(['zod', 'yaml', 'ajv', '@peculiar/x509', 'prisma'].filter((name) => packages.has(name))).toEqual([])
})

describe('two processes on one database', () => {
  pairTest('sign with one key', async ({ database, pair }) => {
    const keys = await Promise.all(
      pair.map(async ({ url }) => await (await fetch(`${url}/.well-known/jwks.json`)).text()),
    )
    expect(keys[0]).toBe(keys[1])
    expect(await database.query('SELECT kid FROM signing_key')).toHaveLength(1)
  })

  pairTest(
    'and ten commands that force a rotation at once make one key per generation, without a gap',
    async ({ client, database, pair }) => {
      // Each with connections of its own. What races is in the database.
      const forced = Array.from({ length: 10 }, () =>
        command(environmentOf(database.url), 'keys', 'rotate', '--now'),
      )
      const ended = await Promise.all(forced)
      expect(ended.map(({ code, stderr }) => (code === 0 ? '' : stderr))).toEqual(forced.map(() => ''))
      const keys = await database.query<{ generation: number }>(
        'SELECT generation FROM signing_key ORDER BY generation',
      )
      expect(keys.map(({ generation }) => generation)).toEqual(
        Array.from({ length: keys.length }, (_, index) => index + 1),
      )
      // Those that came while a next key waited moved that one instead of making another.
      expect(keys.length).toBeGreaterThan(1)
      expect(keys.length).toBeLessThanOrEqual(11)
      for (const { url } of pair) expect((await requestTokenPatiently(url, client)).status).toBe(200)
    },
  )

  pairTest(
    'after `clients disable` has returned, neither issues one more token',
    async ({ client, database, pair, run }) => {
      const loads = pair.map(({ url }) => startLoad(url, client, { callers: 8 }))
      await until(() => loads.every((load) => load.tokens.size >= 50))
      const result = await run('clients', 'disable', client.clientId)
      expect(result, result.stderr).toMatchObject({ code: 0 })
      // Each goes on until it is refused.
      await until(() => loads.every((load) => load.statuses.at(-1) === 401))
      await Promise.all(loads.map((load) => load.stop()))
      expect(await issuedSinceLatestChange(database, client.clientId)).toBe(0)
      for (const load of loads) expect(load.statuses.at(-1)).toBe(401)
      expect(await run('clients', 'enable', client.clientId)).toMatchObject({ code: 0 })
      for (const { url } of pair) expect((await requestTokenPatiently(url, client)).status).toBe(200)
    },
  )
})

test.skipIf(process.platform !== 'linux')(
  'a full disk under the log costs lines, and neither a token nor the process',
  async ({ database, track }) => {
    const full = openSync('/dev/full', 'w')
    const service = track(
      await startServiceProcess(['serve'], { environment: environmentOf(database.url), stdout: full }),
    )
    closeSync(full)
    await untilReady(service)
    const client = await registerClient(database)
    for (let round = 0; round < 20; round += 1) {
      expect((await requestTokenPatiently(service.url, client)).status).toBe(200)
    }
    expect(await exchange(service.url, 'GARBAGE\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    expect((await requestTokenPatiently(service.url, client)).status).toBe(200)
    expect(await database.query(`SELECT 1 FROM audit_record WHERE reason = 'internal_error'`)).toEqual([])
    expect(await service.end('SIGTERM')).toBe(0)
  },
)

test.skipIf(process.platform === 'win32')(
  'a limit of open files that is too low is told in words',
  async () => {
    const limits = [20, 21, 22, 23, 24, 25, 26]
    const outcomes = await Promise.all(
      limits.map((limit) => start('sh', ['-c', `ulimit -n ${limit}; exec "${launcher}" --version`]).outcome),
    )
    // How many files Node needs for itself before it reads ours depends on its version.
    const told = outcomes.map(({ stderr }) => stderr)
    expect(told).toContainEqual(
      expect.stringMatching(/^mintmark: [Tt]oo many files are open\. Raise the limit/),
    )
    for (const stderr of told) expect(stderr).not.toMatch(/EMFILE|\/(?:bin|src)\/[\w/]+\.[jt]s/)
  },
)

test.skipIf(process.platform === 'win32')(
  'a secret that nobody would see is not made',
  async ({ database }) => {
    const nowhere = openSync('/dev/null', 'w')
    const environment = environmentOf(database.url)
    const created = startMintmark(['clients', 'create', 'unseen'], { environment, stdout: nowhere })
    closeSync(nowhere)
    expect(await created.outcome).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nobody would see'),
    })
    expect(await database.query(`SELECT 1 FROM client WHERE client_id = 'unseen'`)).toEqual([])
  },
)

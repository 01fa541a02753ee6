/** A terminal that is closed sends SIGHUP, too. Then the service ends, or it would stay behind on its port. */
import { spawn, spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { environmentOf, nodeArguments } from '../support/process.ts'
import { freePort } from '../support/service.ts'

let database: FreshDatabase

beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

/** A program that runs another one in a terminal of its own. */
const hasTerminals = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux')

test.skipIf(!hasTerminals)('closing the terminal ends the service in order', async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const environment = { ...environmentOf(database.url, { PORT: String(port) }), SHELL: '/bin/sh' }
  const line = ['exec', process.execPath, ...nodeArguments, 'serve'].join(' ')
  const terminal = spawn('script', ['--quiet', '--flush', '--command', line, '/dev/null'], {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const isReady = async (): Promise<boolean> =>
    (await fetch(`${url}/readyz`).catch(() => undefined))?.ok === true
  while (!(await isReady())) await new Promise((resolve) => setTimeout(resolve, 20))
  terminal.kill('SIGKILL')
  while (await isReady()) await new Promise((resolve) => setTimeout(resolve, 20))
  // Its chain has its last record: it did not end at once.
  const closed = async (): Promise<boolean> => {
    const rows = await database.query(`SELECT 1 FROM audit_record WHERE outcome = 'stopped'`)
    return rows.length === 1
  }
  while (!(await closed())) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(await isReady()).toBe(false)
})

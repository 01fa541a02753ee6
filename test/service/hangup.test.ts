/** A terminal that is closed sends SIGHUP, too. Then the service ends, or it would stay behind on its port. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf, program, start } from '../support/process.ts'
import { until } from '../support/wait.ts'

let database: FreshDatabase

beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

/** A program that runs another one in a terminal of its own. */
const hasTerminals = await start('script', ['--version']).outcome.then(
  ({ stdout }) => stdout.includes('util-linux'),
  () => false,
)

test.skipIf(!hasTerminals)('closing the terminal ends the service in order', async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const environment = { ...environmentOf(database.url, { PORT: String(port) }), SHELL: '/bin/sh' }
  const line = ['exec', process.execPath, program, 'serve'].join(' ')
  const terminal = start('script', ['--quiet', '--flush', '--command', line, '/dev/null'], { environment })
  const isReady = async (): Promise<boolean> =>
    (await fetch(`${url}/readyz`).catch(() => undefined))?.ok === true
  await terminal.until(isReady)
  terminal.child.kill('SIGKILL')
  await until(async () => !(await isReady()))
  // Its chain has its last record: it did not end at once.
  const closed = async (): Promise<boolean> => {
    const rows = await database.query(`SELECT 1 FROM audit_record WHERE outcome = 'stopped'`)
    return rows.length === 1
  }
  await until(closed)
  expect(await isReady()).toBe(false)
})

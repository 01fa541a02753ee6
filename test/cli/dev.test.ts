/** `dev` starts the service again when a source file changes, and keeps the embedded database meanwhile. */
import { existsSync, readFileSync, utimesSync } from 'node:fs'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { launcher, root, start } from '../support/process.ts'
import { until } from '../support/wait.ts'

test('a change restarts the service and not the database; Ctrl-C ends both', async ({ files, track }) => {
  const port = await freePort()
  const directory = files.path('data')
  const environment = { MINTMARK_DATA_DIR: directory, PORT: String(port) }
  const dev = track(start(launcher, ['dev'], { environment }))
  /** Request ids begin with what each process draws for itself. Undefined: nobody answers. */
  const processOf = async (): Promise<string | undefined> => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    return response?.ok === true ? response.headers.get('x-request-id')?.replace(/-[^-]*$/, '') : undefined
  }
  await dev.until(async () => (await processOf()) !== undefined)
  const first = await processOf()
  const serverFile = `${directory}/postgres/postmaster.pid`
  const server = readFileSync(serverFile, 'utf8').split('\n')[0]

  // As an editor saves a file, without another content.
  utimesSync(`${root}src/release.ts`, new Date(), new Date())
  await dev.until(async () => ![undefined, first].includes(await processOf()))
  expect(readFileSync(serverFile, 'utf8').split('\n')[0]).toBe(server)

  expect(await dev.end('SIGINT')).toBe(0)
  await until(() => !existsSync(serverFile))
  expect(await processOf()).toBeUndefined()
})

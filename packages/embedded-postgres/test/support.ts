import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, expect } from 'vitest'
import {
  type EmbeddedPostgres,
  EmbeddedPostgresError,
  type EmbeddedPostgresErrorCode,
  type EmbeddedPostgresOptions,
  openEmbeddedPostgres,
} from '../src/embedded-postgres.ts'

/** What the tests of this package share. After each test, everything that was opened here is gone again. */

const moduleUrl = new URL('../src/embedded-postgres.ts', import.meta.url).href
const name = 'example'

const directories: string[] = []
const handles: EmbeddedPostgres[] = []
const children: ChildProcess[] = []
const serverProcessIds = new Set<number>()

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await Promise.all(handles.splice(0).map((handle) => handle.release()))
  for (const processId of serverProcessIds) {
    await until(() => !isRunning(processId))
  }
  serverProcessIds.clear()
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

/** A directory that the server's user can enter when we are root. With mkdtemp alone, only we could. */
export async function temporaryDirectory(mode = 0o711): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'embedded-postgres-test-'))
  directories.push(directory)
  await chmod(directory, mode)
  return directory
}

let template: Promise<string> | undefined

/** A directory with a database that no server runs on. To copy one costs a tenth of what it costs to create one. */
export async function existingDatabase(): Promise<string> {
  template ??= createTemplate()
  const directory = await temporaryDirectory()
  // It keeps the owner, which may be another user than we are.
  await promisify(execFile)('cp', ['-a', join(await template, 'postgres'), directory])
  return directory
}

async function createTemplate(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'embedded-postgres-template-'))
  await chmod(directory, 0o711)
  const database = await openEmbeddedPostgres({ dataDirectory: directory, name })
  const processId = serverProcessId(database)
  await database.release()
  await until(() => !isRunning(processId))
  return directory
}

afterAll(async () => {
  if (template !== undefined) await rm(await template, { recursive: true })
})

export type Options = Partial<EmbeddedPostgresOptions>

export async function open(dataDirectory: string, options: Options = {}): Promise<EmbeddedPostgres> {
  const database = await openEmbeddedPostgres({ dataDirectory, name, ...options })
  handles.push(database)
  watchServer(database)
  return database
}

/** Waits after the test for the end of the server that runs now. */
export function watchServer(database: EmbeddedPostgres): void {
  serverProcessIds.add(serverProcessId(database))
}

/** Opening must fail, with this code and this message. */
export async function expectFailure(
  dataDirectory: string,
  code: EmbeddedPostgresErrorCode,
  message: RegExp | string,
  options: Options = {},
): Promise<void> {
  const error = await open(dataDirectory, options).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(EmbeddedPostgresError)
  expect((error as EmbeddedPostgresError).message).toMatch(message)
  expect((error as EmbeddedPostgresError).code).toBe(code)
}

export function serverProcessId(database: EmbeddedPostgres): number {
  return Number.parseInt(readFileSync(join(database.directory, 'postmaster.pid'), 'utf8'), 10)
}

/** Whether a process has this number. A zombie runs nothing, but has its number until init reaps it. */
export function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return process.platform !== 'linux' || readFileSync(`/proc/${processId}/cmdline`, 'utf8') !== ''
  } catch {
    return false
  }
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${condition}`)
    await sleep(10)
  }
}

export async function query(database: EmbeddedPostgres, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    const { rows } = await client.query({ text, rowMode: 'array' })
    return rows[0]?.[0]
  } finally {
    await client.end()
  }
}

/** Another process that runs the code. `open` in the code opens the database of the directory. */
export function spawnUser(directory: string, code: string): ChildProcess {
  const options = JSON.stringify({ dataDirectory: directory, name })
  const script = `
    import { openEmbeddedPostgres } from ${JSON.stringify(moduleUrl)}
    const open = () => openEmbeddedPostgres(${options})
    ${code}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: new URL('..', import.meta.url), // The code finds "pg" from here.
  })
  return endAfterTest(child)
}

export function endAfterTest(child: ChildProcess): ChildProcess {
  children.push(child)
  return child
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { type EmbeddedDatabase, type EmbeddedOptions, openEmbedded } from '../../src/database/embedded.ts'
import { isRunning } from '../support/process.ts'

const isRoot = process.getuid?.() === 0
const moduleUrl = new URL('../../src/database/embedded.ts', import.meta.url).href

const directories: string[] = []
const handles: EmbeddedDatabase[] = []
const children: ChildProcess[] = []
const serverProcessIds = new Set<number>()

/** A directory that the server's user can enter when we are root; mkdtemp alone makes it ours only. */
async function temporaryDirectory(mode = 0o711): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mintmark-test-'))
  directories.push(directory)
  await chmod(directory, mode)
  return directory
}

async function open(dataDirectory: string, options: EmbeddedOptions = {}): Promise<EmbeddedDatabase> {
  const database = await openEmbedded(dataDirectory, options)
  handles.push(database)
  serverProcessIds.add(serverProcessId(database))
  return database
}

function serverProcessId(database: EmbeddedDatabase): number {
  return Number.parseInt(readFileSync(join(database.directory, 'postmaster.pid'), 'utf8'), 10)
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${condition}`)
    await sleep(10)
  }
}

async function query(database: EmbeddedDatabase, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    const { rows } = await client.query({ text, rowMode: 'array' })
    return rows[0]?.[0]
  } finally {
    await client.end()
  }
}

/** Another process that runs the code and then stays, with the database open. */
function spawnUser(code: string): ChildProcess {
  const script = `import { openEmbedded } from ${JSON.stringify(moduleUrl)}\n${code}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: new URL('../..', import.meta.url), // Where "pg" is found.
  })
  children.push(child)
  return child
}

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

test('a database is created, kept over a stop, and shared while it runs', async () => {
  const directory = join(await temporaryDirectory(), 'data')
  const first = await open(directory)
  expect(first.origin).toBe('created')
  expect(first.serverVersion).toMatch(/^18\.\d+$/)
  expect(await query(first, 'SHOW server_encoding')).toBe('UTF8')
  await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer')

  const second = await open(directory)
  expect(second.origin).toBe('reused')
  expect(second.url).toBe(first.url)
  await first.release()
  expect(await query(second, 'SELECT answer FROM kept')).toBe(42)

  const processId = serverProcessId(second)
  await second.release()
  await until(() => !isRunning(processId))
  expect(existsSync(join(second.directory, 'postmaster.pid'))).toBe(false)

  const third = await open(directory)
  expect(third.origin).toBe('started')
  expect(await query(third, 'SELECT answer FROM kept')).toBe(42)
  await third.release()
  await third.release()
})

test('nothing is durable only by accident, and nothing listens on the network', async () => {
  const database = await open(await temporaryDirectory())
  for (const name of ['fsync', 'full_page_writes', 'synchronous_commit']) {
    expect(await query(database, `SHOW ${name}`)).toBe('on')
  }
  expect(await query(database, 'SHOW listen_addresses')).toBe('')
  const socketDirectory = new URL(database.url).searchParams.get('host') ?? ''
  expect(statSync(socketDirectory).mode & 0o777).toBe(0o700)
})

test('the server of a killed process is reused, and then stopped by its last user', async () => {
  const directory = await temporaryDirectory()
  const child = spawnUser(`await openEmbedded(${JSON.stringify(directory)}); console.log('open')`)
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const database = await open(directory)
  expect(database.origin).toBe('reused')
  const processId = serverProcessId(database)
  await database.release()
  await until(() => !isRunning(processId))
})

test('Ctrl-C in the terminal does not reach the server', async () => {
  const database = await open(await temporaryDirectory())
  const child = spawn('ps', ['-o', 'pgid=,sid=', '-p', String(serverProcessId(database))])
  const [output] = await once(child.stdout, 'data')
  const [group, session] = String(output).trim().split(/\s+/).map(Number)
  expect(group).toBe(serverProcessId(database))
  expect(session).toBe(serverProcessId(database))
})

test.each(['a PostgreSQL elsewhere', 'another program'])(
  'a stale postmaster.pid does not block when its number belongs to %s',
  async (occupant) => {
    const directory = await temporaryDirectory()
    const before = await open(directory)
    const content = readFileSync(join(before.directory, 'postmaster.pid'), 'utf8')
    const { uid, gid } = statSync(before.directory)
    const deadProcessId = serverProcessId(before)
    await before.release()
    await until(() => !isRunning(deadProcessId))

    // Of the same user as the server: only then does PostgreSQL itself believe in the number.
    const argv0 = occupant === 'another program' ? 'sleep' : '/usr/bin/postgres'
    const unrelated = spawn('sleep', ['600'], { uid, gid, argv0 })
    children.push(unrelated)
    await once(unrelated, 'spawn')
    const stale = content.replace(/^\d+/, String(unrelated.pid))
    writeFileSync(join(before.directory, 'postmaster.pid'), stale)
    writeFileSync(join(before.directory, '.s.PGSQL.5432.lock'), stale)

    const after = await open(directory)
    expect(after.origin).toBe('started')
    expect(serverProcessId(after)).not.toBe(unrelated.pid)
    expect(isRunning(unrelated.pid as number)).toBe(true)
  },
)

test('a crash leaves a postmaster.pid, and the next start recovers', async () => {
  const directory = await temporaryDirectory()
  const child = spawnUser(`
    import pg from 'pg'
    const database = await openEmbedded(${JSON.stringify(directory)})
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query('CREATE TABLE kept AS SELECT 42 AS answer')
    console.log(database.directory)`)
  const [output] = await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const file = join(String(output).trim(), 'postmaster.pid')
  process.kill(Number.parseInt(readFileSync(file, 'utf8'), 10), 'SIGKILL')

  const database = await open(directory)
  expect(database.origin).toBe('started')
  expect(await query(database, 'SELECT answer FROM kept')).toBe(42)
})

test('a server that is killed under its user is started again at the same address', async () => {
  const reports: string[] = []
  const database = await open(await temporaryDirectory(), { report: (message) => reports.push(message) })
  const killed = serverProcessId(database)
  process.kill(killed, 'SIGKILL')
  await until(() => reports.some((message) => message.includes('is back')))
  expect(await query(database, 'SELECT 1')).toBe(1)
  expect(serverProcessId(database)).not.toBe(killed)
  serverProcessIds.add(serverProcessId(database))
})

test('two that open an empty directory at once share one database', async () => {
  const directory = join(await temporaryDirectory(), 'data')
  const both = await Promise.all([open(directory), open(directory)])
  expect(both.filter(({ origin }) => origin === 'created')).toHaveLength(1)
  expect(new Set(both.map(serverProcessId)).size).toBe(1)
  expect(await readdir(directory)).toEqual(
    expect.not.arrayContaining([expect.stringContaining('unfinished')]),
  )
})

test('processes that come and go at random always get a server, and leave none behind', async () => {
  const directory = await temporaryDirectory()
  const code = `
    import { setTimeout as sleep } from 'node:timers/promises'
    for (let round = 0; round < 12; round += 1) {
      const database = await openEmbedded(${JSON.stringify(directory)})
      await sleep(Math.random() * 10)
      await database.release()
      await sleep(Math.random() * 10)
    }`
  const users = [spawnUser(code), spawnUser(code), spawnUser(code)]
  const codes = await Promise.all(users.map(async (user) => (await once(user, 'exit'))[0]))
  expect(codes).toEqual([0, 0, 0])
  expect(existsSync(join(directory, 'postgres', 'postmaster.pid'))).toBe(false)
})

test('a path too long for a socket has its socket elsewhere, for itself alone', async () => {
  const directory = join(
    await temporaryDirectory(),
    'a'.repeat(60),
    `spaces, "quotes", $HOME ${'b'.repeat(30)}`,
  )
  await mkdir(join(directory, '..'))
  await chmod(join(directory, '..'), 0o711)
  const first = await open(directory)
  const socketDirectory = new URL(first.url).searchParams.get('host') ?? ''
  expect(socketDirectory).not.toBe(first.directory)
  expect(statSync(socketDirectory).mode & 0o777).toBe(0o700)
  const second = await open(directory)
  expect(second.url).toBe(first.url)
  expect(await query(second, 'SELECT 1')).toBe(1)
  await first.release()
  await second.release()
  expect(existsSync(socketDirectory)).toBe(false)
})

test('names that a shell would misread are paths like any other', async () => {
  const directory = join(await temporaryDirectory(), `it's, "$HOME" \`x\``)
  const database = await open(directory)
  expect(await query(database, 'SELECT 1')).toBe(1)
})

test('settings reach the server', async () => {
  const database = await open(await temporaryDirectory(), { settings: { max_connections: '23' } })
  expect(await query(database, 'SHOW max_connections')).toBe('23')
})

test('a server that does not start says why, and where its log is', async () => {
  const directory = await temporaryDirectory()
  const opened = openEmbedded(directory, { settings: { shared_buffers: 'plenty' } })
  await expect(opened).rejects.toThrow(/postgres\.log.*invalid value for parameter "shared_buffers"/s)
})

test('a database of another major version is not touched', async () => {
  const directory = await temporaryDirectory()
  const database = await open(directory)
  await database.release()
  writeFileSync(join(database.directory, 'PG_VERSION'), '17\n')
  await expect(openEmbedded(directory)).rejects.toThrow(/is of PostgreSQL 17; this release brings 18/)
})

test('something else in the place of the database is not touched', async () => {
  const directory = await temporaryDirectory()
  await mkdir(join(directory, 'postgres'))
  writeFileSync(join(directory, 'postgres', 'notes.txt'), 'mine')
  await expect(openEmbedded(directory)).rejects.toThrow(/exists, but holds no database/)
  expect(readFileSync(join(directory, 'postgres', 'notes.txt'), 'utf8')).toBe('mine')
})

test('a data directory that cannot be is named', async () => {
  const directory = join(await temporaryDirectory(), 'file')
  writeFileSync(directory, '')
  await expect(openEmbedded(directory)).rejects.toThrow(directory)
})

test.runIf(isRoot)('root: a directory that the server cannot enter links to one that it can', async () => {
  const closed = await temporaryDirectory(0o700)
  const systemDirectory = await temporaryDirectory()
  const reports: string[] = []
  const options = { systemDirectory, report: (message: string) => reports.push(message) }
  const directory = join(closed, 'data')
  const first = await open(directory, options)
  expect(first.origin).toBe('created')
  expect(first.directory).toMatch(systemDirectory)
  expect(lstatSync(join(directory, 'postgres')).isSymbolicLink()).toBe(true)
  expect(readlinkSync(join(directory, 'postgres'))).toBe(first.directory)
  expect(reports).toHaveLength(1)
  await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer')
  await first.release()

  const second = await open(directory, options)
  expect(second.origin).toBe('started')
  expect(await query(second, 'SELECT answer FROM kept')).toBe(42)
  await second.release()

  await rm(directory, { recursive: true })
  const third = await open(directory, options)
  expect(third.origin).toBe('created')
  expect(await query(third, `SELECT to_regclass('kept')`)).toBe(null)
  await third.release()

  await rm(third.directory, { recursive: true })
  await expect(open(directory, options)).rejects.toThrow(/a link to a database that is no longer there/)
})

test.runIf(isRoot)("root: an ordinary user's database is run as that user", async () => {
  const directory = await temporaryDirectory()
  const made = await open(directory)
  await made.release()
  const ordinaryUserId = 54_321
  await once(spawn('chown', ['-R', `${ordinaryUserId}:${ordinaryUserId}`, made.directory]), 'exit')
  const database = await open(directory)
  expect(statSync(`/proc/${serverProcessId(database)}`).uid).toBe(ordinaryUserId)
  expect(await query(database, 'SELECT 1')).toBe(1)
})

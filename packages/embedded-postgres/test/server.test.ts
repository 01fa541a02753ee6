import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  endAfterTest,
  existingDatabase,
  expectFailure,
  isRunning,
  open,
  query,
  serverProcessId,
  spawnUser,
  temporaryDirectory,
  until,
  watchServer,
} from './support.ts'

/** The server: several processes share it, and it survives what can happen to them and to it. */

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
  const database = await open(await existingDatabase())
  for (const name of ['fsync', 'full_page_writes', 'synchronous_commit']) {
    expect(await query(database, `SHOW ${name}`)).toBe('on')
  }
  expect(await query(database, 'SHOW listen_addresses')).toBe('')
  const socketDirectory = new URL(database.url).searchParams.get('host') ?? ''
  expect(statSync(socketDirectory).mode & 0o777).toBe(0o700)
})

test('the server of a killed process is reused, and then stopped by its last user', async () => {
  const directory = await existingDatabase()
  const child = spawnUser(directory, `await open(); console.log('open')`)
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const database = await open(directory)
  expect(database.origin).toBe('reused')
  const processId = serverProcessId(database)
  await database.release()
  await until(() => !isRunning(processId))
})

test('a process that was killed a moment ago does not count, also if the server has not seen it yet', async () => {
  const directory = await existingDatabase()
  const child = spawnUser(directory, `await open(); console.log('open')`)
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  const database = await open(directory)
  const processId = serverProcessId(database)
  const backend = Number(
    await query(
      database,
      `SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%(user process ${child.pid})'`,
    ),
  )
  process.kill(backend, 'SIGSTOP')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const released = database.release()
  // The server is asked by now, and says that the lock is taken.
  await query(database, 'SELECT pg_sleep(0.1)')
  process.kill(backend, 'SIGCONT')
  await released
  await until(() => !isRunning(processId))
})

test('a process that still runs counts', async () => {
  const directory = await existingDatabase()
  const child = spawnUser(directory, `await open(); console.log('open')`)
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  const first = await open(directory)
  child.kill('SIGSTOP')
  await first.release()
  expect((await open(directory)).origin).toBe('reused')
})

test('Ctrl-C in the terminal does not reach the server', async () => {
  const database = await open(await existingDatabase())
  const child = spawn('ps', ['-o', 'pgid=,sid=', '-p', String(serverProcessId(database))])
  const [output] = await once(child.stdout, 'data')
  const [group, session] = String(output).trim().split(/\s+/).map(Number)
  expect(group).toBe(serverProcessId(database))
  expect(session).toBe(serverProcessId(database))
})

test.each(['a PostgreSQL elsewhere', 'another program'])(
  'a stale postmaster.pid does not block when its number belongs to %s',
  async (occupant) => {
    const directory = await existingDatabase()
    const before = await open(directory)
    const content = readFileSync(join(before.directory, 'postmaster.pid'), 'utf8')
    const { uid, gid } = statSync(before.directory)
    const deadProcessId = serverProcessId(before)
    await before.release()
    await until(() => !isRunning(deadProcessId))

    // It runs as the server's user: only then does PostgreSQL itself believe the number.
    const argv0 = occupant === 'another program' ? 'sleep' : '/usr/bin/postgres'
    const unrelated = endAfterTest(spawn('sleep', ['600'], { uid, gid, argv0 }))
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
  const directory = await existingDatabase()
  const child = spawnUser(
    directory,
    `
    import pg from 'pg'
    const database = await open()
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query('CREATE TABLE kept AS SELECT 42 AS answer')
    console.log(database.directory)`,
  )
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
  const database = await open(await existingDatabase(), { report: (message) => reports.push(message) })
  const killed = serverProcessId(database)
  process.kill(killed, 'SIGKILL')
  await until(() => reports.some((message) => message.includes('is back')))
  expect(await query(database, 'SELECT 1')).toBe(1)
  expect(serverProcessId(database)).not.toBe(killed)
  watchServer(database)
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
  const directory = await existingDatabase()
  const code = `
    import { setTimeout as sleep } from 'node:timers/promises'
    for (let round = 0; round < 12; round += 1) {
      const database = await open()
      await sleep(Math.random() * 10)
      await database.release()
      await sleep(Math.random() * 10)
    }`
  const users = [1, 2, 3].map(() => spawnUser(directory, code))
  const codes = await Promise.all(users.map(async (user) => (await once(user, 'exit'))[0]))
  expect(codes).toEqual([0, 0, 0])
  expect(existsSync(join(directory, 'postgres', 'postmaster.pid'))).toBe(false)
})

test('role and database have the name that was asked for, and only a plain name is one', async () => {
  const directory = await temporaryDirectory()
  const database = await open(directory, { name: 'select' })
  expect(await query(database, 'SELECT current_user')).toBe('select')
  expect(await query(database, 'SELECT current_database()')).toBe('select')
  for (const bad of ['', 'Name', 'a b', 'a"b', 'a/b', '1a', 'pg_a', 'a'.repeat(32)])
    await expect(open(directory, { name: bad }), bad).rejects.toThrow(TypeError)
})

test('settings reach the server', async () => {
  const database = await open(await existingDatabase(), { settings: { max_connections: '23' } })
  expect(await query(database, 'SHOW max_connections')).toBe('23')
})

test('a server that does not start says why, and where its log is', async () => {
  const directory = await existingDatabase()
  const settings = { shared_buffers: 'plenty' }
  const message = /postgres\.log.*invalid value for parameter "shared_buffers"/s
  await expectFailure(directory, 'cannot_start', message, { settings })
})

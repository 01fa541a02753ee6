import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { expectFailure, open, query, serverProcessId, temporaryDirectory } from './support.ts'

/** The data directory: any path works, root can use it too, and nothing of somebody else is touched. */

const isRoot = process.getuid?.() === 0

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

test('a database of another major version is not touched', async () => {
  const directory = await temporaryDirectory()
  const database = await open(directory)
  await database.release()
  writeFileSync(join(database.directory, 'PG_VERSION'), '17\n')
  await expectFailure(directory, 'unusable_database', /is of PostgreSQL 17; this release brings 18/)
})

test('something else in the place of the database is not touched', async () => {
  const directory = await temporaryDirectory()
  await mkdir(join(directory, 'postgres'))
  writeFileSync(join(directory, 'postgres', 'notes.txt'), 'mine')
  await expectFailure(directory, 'unusable_database', /exists, but holds no database/)
  expect(readFileSync(join(directory, 'postgres', 'notes.txt'), 'utf8')).toBe('mine')
})

test('a data directory that cannot be is named', async () => {
  const directory = join(await temporaryDirectory(), 'file')
  writeFileSync(directory, '')
  await expectFailure(directory, 'no_data_directory', directory)
})

test.runIf(isRoot)('root: the server runs as a user of its own, and says where it cannot', async () => {
  const directory = await temporaryDirectory()
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const shared = users.find(([name]) => name === 'postgres')
  const first = await open(directory)
  const { uid } = statSync(first.directory)
  const owner = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.split(':')[2] === String(uid))
  expect(owner).toMatch(/^example_postgres:/)
  await first.release()
  if (shared === undefined) return
  // As an earlier release has left it.
  await promisify(execFile)('chown', ['-R', `${shared[2]}:${shared[3]}`, first.directory])
  const reports: string[] = []
  const second = await open(directory, { report: (message) => reports.push(message) })
  expect(await query(second, 'SELECT 1')).toBe(1)
  expect(reports.join()).toMatch(/belongs to the system user "postgres".*chown -R example_postgres/)
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
  await expectFailure(directory, 'unusable_database', /a link to a database that is no longer there/, options)
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

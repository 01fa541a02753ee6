/** What goes wrong with the database ends a command in one line that says what to mend, and never in a stack. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { administer, type FreshDatabase, freshDatabase, withDatabase } from '../support/database.ts'
import { command, scratch } from './command.ts'

let database: FreshDatabase
const role = 'without_rights'

beforeAll(async () => {
  database = await freshDatabase()
  await database.query(`CREATE ROLE ${role} LOGIN`)
  await database.query(`GRANT SELECT ON _prisma_migrations TO ${role}`)
})
afterAll(async () => {
  await database.query(`DROP OWNED BY ${role}`)
  await database.query(`DROP ROLE ${role}`)
  await database.drop()
})

function as(user: string, url = database.url): string {
  const changed = new URL(url)
  changed.username = user
  return changed.href
}

/** One line, and exit code 1. */
async function refusalOf(url: string, ...given: string[]): Promise<string> {
  const { code, stderr } = await command({ DATABASE_URL: url }, ...given)
  expect(stderr).toMatch(/^mintmark: .*\n$/)
  expect(code).toBe(1)
  return stderr
}

test.each([
  ['clients', 'list'],
  ['clients', 'disable', 'x'],
  ['audit', 'list'],
  ['audit', 'list', '--follow'],
])('a role without rights: %s %s', async (...given) => {
  expect(await refusalOf(as(role), ...given)).toMatch(
    /^mintmark: The database refused: permission denied for \w+ \w+\. Give the role/,
  )
})

test('a database that takes no writes', async () => {
  const name = new URL(database.url).pathname.slice(1)
  await database.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
  try {
    const said = await refusalOf(database.url, 'clients', 'create', 'x')
    expect(said).toContain('in a read-only transaction. Set DATABASE_URL to the primary')
  } finally {
    await database.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`)
  }
})

test('a role that may not create tables is told before anything is made', async () => {
  const name = `refused_${process.pid}`
  await administer(inject('postgresUrl'), `CREATE DATABASE ${name}`)
  try {
    const url = as(role, withDatabase(database.url, name))
    expect(await refusalOf(url, 'migrate')).toContain(
      'may not create tables in the schema public. Grant it CREATE',
    )
  } finally {
    await administer(inject('postgresUrl'), `DROP DATABASE ${name} WITH (FORCE)`)
  }
})

test('a data directory that nobody can create', async () => {
  const { code, stderr } = await command({ MINTMARK_DATA_DIR: '/proc/nobody/data' }, 'migrate')
  expect(stderr).toMatch(/^mintmark: MINTMARK_DATA_DIR: cannot create the directory .*\n$/)
  expect(code).toBe(1)
})

/** As long as the test may take: starting a process takes what it takes. */
const patiently = { timeout: 60_000 }

test('a command that is interrupted ends, though its statement still waits for a lock', async () => {
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  await holder.query('BEGIN')
  await holder.query('LOCK TABLE client')
  const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const child = spawn(process.execPath, [program, 'clients', 'list'], { env: { DATABASE_URL: database.url } })
  const closed = once(child, 'close')
  const waiting = `SELECT 1 FROM pg_locks WHERE relation = 'client'::regclass AND NOT granted`
  await expect.poll(() => holder.query(waiting).then(({ rowCount }) => rowCount), patiently).toBe(1)
  child.kill('SIGINT')
  expect(await closed).toEqual([130, null])
  await holder.end()
})

test('a command ends when it is done, with all it printed, however slow its reader is', async () => {
  await database.query(
    `INSERT INTO client (client_id, name) SELECT 'client-' || n, repeat('n', 100) FROM generate_series(1, 3000) n`,
  )
  const files = scratch()
  try {
    const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const pipe = `"$0" "$1" clients list --json | (sleep 1; cat > "$2")`
    await promisify(execFile)('/bin/sh', ['-c', pipe, process.execPath, program, files.path('list')], {
      env: { DATABASE_URL: database.url },
    })
    expect(JSON.parse(readFileSync(files.path('list'), 'utf8')).clients).toHaveLength(3000)
  } finally {
    files.remove()
  }
})

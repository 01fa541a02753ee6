/** What goes wrong with the database ends a command in one line that says what to mend, and never in a stack. */
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { expect } from 'vitest'
import { openDatabase } from '../../src/database/open.ts'
import { limits } from '../../src/limits.ts'
import { command } from '../support/command.ts'
import { administer, withDatabase } from '../support/database.ts'
import { sharedTest } from '../support/fixtures.ts'
import {
  environmentOf,
  program,
  start,
  startMintmark,
  startServiceProcess,
  untilReady,
} from '../support/process.ts'
import { FaultyProxy } from '../support/proxy.ts'

const test = sharedTest.extend('role', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const role = 'without_rights'
  await database.query(`CREATE ROLE ${role} LOGIN`)
  onCleanup(async () => {
    await database.query(`DROP OWNED BY ${role}`)
    await database.query(`DROP ROLE ${role}`)
  })
  await database.query(`GRANT SELECT ON _prisma_migrations TO ${role}`)
  return role
})

function as(user: string, url: string): string {
  const changed = new URL(url)
  changed.username = user
  return changed.href
}

/** One line, and exit code 1. */
async function refusalOf(url: string, ...given: string[]): Promise<string> {
  const { code, stderr } = await command({ DATABASE_URL: url }, ...given)
  const [last, ...before] = stderr.trimEnd().split('\n').reverse()
  expect(last).toMatch(/^mintmark: /)
  // The ledger also says what it may lack.
  for (const line of before)
    expect(line).toMatch(/^Changes that were made with SQL in the last second may be missing/)
  expect(code).toBe(1)
  return last ?? ''
}

test.for([
  ['clients', 'list'],
  ['clients', 'disable', 'x'],
  ['audit', 'list'],
  ['audit', 'list', '--follow'],
])('a role without rights: %s %s', async (given, { database, role }) => {
  expect(await refusalOf(as(role, database.url), ...given)).toMatch(
    /^mintmark: The database refused: permission denied for \w+ \w+\. Use the role of the operator/,
  )
})

test('a database that takes no writes', async ({ database }) => {
  const name = new URL(database.url).pathname.slice(1)
  await database.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
  try {
    const said = await refusalOf(database.url, 'clients', 'create', 'x')
    expect(said).toContain('in a read-only transaction. Set DATABASE_URL to the primary')
  } finally {
    await database.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`)
  }
})

test('a role that may not create tables is told before anything is made', async ({
  database,
  role,
  serverUrl,
}) => {
  const name = `refused_${process.pid}`
  await administer(serverUrl, `CREATE DATABASE ${name}`)
  try {
    const url = as(role, withDatabase(database.url, name))
    expect(await refusalOf(url, 'migrate')).toContain(
      'may not create tables in the schema public. Connect with the role that is to own the tables, or grant this one CREATE',
    )
  } finally {
    await administer(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`)
  }
})

test('a data directory that nobody can create', async () => {
  const { code, stderr } = await command({ MINTMARK_DATA_DIR: '/proc/nobody/data' }, 'migrate')
  expect(stderr).toMatch(/^mintmark: MINTMARK_DATA_DIR: cannot create the directory .*\n$/)
  expect(code).toBe(1)
})

test('a command waits for a connection that takes longer than the service could wait', async ({
  database,
  onTestFinished,
}) => {
  const proxy = new FaultyProxy(database.url)
  const far = openDatabase(await proxy.listen())
  onTestFinished(async () => {
    await far.close()
    await proxy.close()
  })
  proxy.hold()
  setTimeout(() => proxy.release(), limits.databaseConnectTimeoutMilliseconds + 200)
  expect(await far.prisma.client.count()).toBe(0)
})

test('a service starts though the database is away for moments', async ({
  database,
  onTestFinished,
  track,
}) => {
  const proxy = new FaultyProxy(database.url)
  onTestFinished(() => proxy.close())
  const faults = { 1: 'refuse', 3: 'hang', 6: 'lose-answers', 9: 'refuse' } as const
  let connections = 0
  proxy.onConnection = (number) => {
    connections = number
    proxy.mode = faults[number as keyof typeof faults] ?? 'pass'
  }
  const environment = environmentOf(await proxy.listen())
  const service = track(await startServiceProcess(['serve'], { environment }))
  await untilReady(service)
  expect(connections).toBeGreaterThan(9)
  expect(await service.end('SIGTERM')).toBe(0)
})

test('a command that is interrupted ends, though its statement still waits for a lock', async ({
  database,
  track,
}) => {
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  await holder.query('BEGIN')
  await holder.query('LOCK TABLE client')
  const child = track(startMintmark(['clients', 'list'], { environment: { DATABASE_URL: database.url } }))
  // Databases that are copied from one template have the same numbers for their tables.
  const waiting = `SELECT 1 FROM pg_locks WHERE relation = 'client'::regclass AND NOT granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
  await expect.poll(() => holder.query(waiting).then(({ rowCount }) => rowCount)).toBe(1)
  expect(await child.end('SIGINT')).toBe(130)
  await holder.end()
})

test('a command ends when it is done, with all it printed, however slow its reader is', async ({
  database,
  files,
  track,
}) => {
  await database.query(
    `INSERT INTO client (client_id, name) SELECT 'client-' || n, repeat('n', 100) FROM generate_series(1, 3000) n`,
  )
  const pipe = `"$0" "$1" clients list --json | (sleep 1; cat > "$2")`
  const environment = { DATABASE_URL: database.url }
  const reader = start('/bin/sh', ['-c', pipe, process.execPath, program, files.path('list')], {
    environment,
  })
  expect(await track(reader).ended).toBe(0)
  expect(JSON.parse(readFileSync(files.path('list'), 'utf8')).clients).toHaveLength(3000)
})

/** A real PgBouncer between the service and the database, in each of its modes. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/database/open.ts'
import { command } from '../support/command.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { openPgBouncer, type PgBouncer, pgBouncerVersion } from '../support/pgbouncer.ts'
import {
  commandProcess,
  endLeft,
  environmentOf,
  type ServiceProcess,
  startServiceProcess,
  untilReady,
} from '../support/process.ts'
import { registerClient, requestToken } from '../support/service.ts'

const present = pgBouncerVersion() !== undefined

const run = (databaseUrl: string, ...commandArguments: readonly string[]) =>
  command(environmentOf(databaseUrl), ...commandArguments)

/** Starts `serve` and waits until it can issue. */
async function serve(databaseUrl: string): Promise<ServiceProcess> {
  const service = await startServiceProcess(['serve'], { environment: environmentOf(databaseUrl) })
  await untilReady(service)
  return service
}

let database: FreshDatabase

beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(async () => {
  await database.drop()
})

test.skipIf(present)('NOT TESTED: poolers', () => {
  process.stderr.write(
    'NOT TESTED: poolers, because this machine has no pgbouncer. Debian has it as a package.\n',
  )
})

describe.runIf(present).each(['transaction', 'session'] as const)('PgBouncer in %s mode', (mode) => {
  // In session mode each connection takes one of the server for as long as it lasts.
  const sessionsMax = mode === 'session' ? 40 : 3
  let pooler: PgBouncer
  const replicas: ServiceProcess[] = []

  beforeAll(async () => {
    pooler = await openPgBouncer(database.url, mode, sessionsMax)
    replicas.push(await serve(pooler.url), await serve(pooler.url))
  })
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => endLeft(replica)))
    await pooler.close()
  })

  test('two replicas issue tokens at once, and every change is in force on both at once', async () => {
    const client = await registerClient(database)
    for (let round = 0; round < 5; round += 1) {
      const requests = Array.from({ length: 60 }, (_, index) =>
        requestToken(replicas[index % 2]?.url ?? '', client),
      )
      const statuses = (await Promise.all(requests)).map(({ status }) => status)
      expect(new Set(statuses)).toEqual(new Set([200]))
    }
    for (const [command, status] of [
      ['disable', 401],
      ['enable', 200],
    ] as const) {
      expect(await run(pooler.url, 'clients', command, client.clientId)).toMatchObject({ code: 0 })
      for (const { url } of replicas) expect((await requestToken(url, client)).status).toBe(status)
    }
    for (const replica of replicas) {
      expect(replica.output()).toContain('through a pooler')
      expect(replica.output()).not.toContain('database_fault')
    }
  })

  test('the server ends a commit that the service has given up', async () => {
    const client = await registerClient(database)
    const url = replicas[0]?.url ?? ''
    expect((await requestToken(url, client)).status).toBe(200)
    const holder = new pg.Client({ connectionString: database.url })
    await holder.connect()
    await holder.query('BEGIN')
    await holder.query('LOCK TABLE audit_record')
    expect((await requestToken(url, client)).status).toBe(503)
    const waiting = `SELECT pid || ' ' || query_start AS query FROM pg_stat_activity
                      WHERE wait_event_type = 'Lock' AND datname = current_database()`
    const before = await database.query<{ query: string }>(waiting)
    // Both replicas go on trying. What they have tried ends before the lock does.
    await expect
      .poll(async () => {
        const now = await database.query<{ query: string }>(waiting)
        return now.filter(({ query }) => before.some((each) => each.query === query))
      })
      .toEqual([])
    await holder.query('ROLLBACK')
    await holder.end()
    await expect.poll(async () => (await requestToken(url, client)).status).toBe(200)
  })

  test('commands read and write through it', async () => {
    const audit = await run(pooler.url, 'audit', 'list', '--since', '10m', '--json')
    expect(audit).toMatchObject({ code: 0 })
    expect(audit.stdout).toContain('"issued"')
    expect(await run(pooler.url, 'keys', 'list')).toMatchObject({ code: 0 })
    expect(await run(pooler.url, 'migrate', '--status')).toMatchObject({ code: 0 })
  })

  test('"migrate" beside them says at once when it needs another URL, and leaves no lock behind', async () => {
    for (let time = 0; time < 3; time += 1) {
      const { code, stderr } = await run(pooler.url, 'migrate')
      expect(code).toBe(mode === 'session' ? 0 : 1)
      if (mode === 'transaction') expect(stderr).toMatch(/pooler.*Set the URL of the database server itself/)
    }
    const locks = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369 AND granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
    await expect.poll(() => database.query(locks)).toEqual([])
    expect(await run(database.url, 'migrate')).toMatchObject({ code: 0 })
  })

  test('other programs find their own defaults in every session of the pool', async () => {
    if (mode === 'session') return
    const others = Array.from({ length: sessionsMax }, () => new pg.Client({ connectionString: pooler.url }))
    for (const other of others) {
      await other.connect()
      // Held, so that the next one gets another session.
      await expect.poll(() => other.query('BEGIN').catch(() => undefined)).toBeDefined()
    }
    for (const other of others) {
      const { rows } = await other.query(
        `SELECT current_setting('statement_timeout') AS statement_timeout,
                (SELECT count(*)::int FROM pg_prepared_statements) AS prepared`,
      )
      expect(rows).toEqual([{ statement_timeout: '0', prepared: 0 }])
    }
    await Promise.all(others.map((other) => other.end()))
  })
})

test.runIf(present)('each transaction has the settings of ours, and leaves none behind', async () => {
  const own = await freshDatabase()
  const name = new URL(own.url).pathname.slice(1)
  const defaults = {
    TimeZone: "'America/New_York'",
    lock_timeout: '5',
    search_path: 'nowhere',
    synchronous_commit: 'off',
  }
  for (const [setting, value] of Object.entries(defaults))
    await own.query(`ALTER DATABASE ${name} SET ${setting} = ${value}`)
  const pooler = await openPgBouncer(own.url, 'transaction', 1)
  const through = openDatabase(pooler.url, { statementMillisecondsMax: 7_000 })
  const text = `SELECT current_setting('TimeZone') AS zone, current_setting('DateStyle') AS style, jit.setting AS jit,
                       current_setting('synchronous_commit') AS commit, current_setting('lock_timeout') AS lock,
                       current_setting('search_path') AS path, current_setting('statement_timeout') AS statement,
                       current_setting('transaction_isolation') AS isolation
                  FROM pg_settings AS jit WHERE name = 'jit'`
  const ours = {
    zone: 'UTC',
    style: 'ISO, YMD',
    jit: 'off',
    commit: 'on',
    lock: '0',
    isolation: 'read committed',
    statement: '7s',
  }
  try {
    expect(await through.prisma.$queryRawUnsafe(text)).toEqual([{ ...ours, path: '"public", pg_temp' }])
    const at = new Date('2026-07-01T12:34:56.789Z')
    await through.prisma.$transaction(async (transaction) => {
      expect(await transaction.$queryRawUnsafe(text)).toEqual([{ ...ours, path: 'public, pg_temp' }])
      // Moments are read with their zone, whatever the session is set to.
      await transaction.$executeRawUnsafe(`SET LOCAL timezone = 'America/New_York'`)
      await transaction.client.create({ data: { clientId: 'x', name: 'x', expiresAt: at } })
      expect(await transaction.client.findMany({ select: { expiresAt: true } })).toEqual([{ expiresAt: at }])
    })
    expect(await through.prisma.client.findMany({ select: { expiresAt: true } })).toEqual([{ expiresAt: at }])
    for (const pool of [through.readPool, through.commitPool])
      expect((await pool.query(text)).rows).toMatchObject([{ zone: 'UTC', lock: '0', commit: 'on' }])
    const other = new pg.Client({ connectionString: pooler.url })
    await other.connect()
    expect((await other.query(text)).rows).toMatchObject([
      { path: 'nowhere', lock: '5ms', commit: 'off', statement: '0' },
    ])
    await other.end()
  } finally {
    await through.close()
    await pooler.close()
    await own.drop()
  }
})

test.runIf(present)('PgBouncer in statement mode is refused in one line', async () => {
  const pooler = await openPgBouncer(database.url, 'statement')
  const { code, stderr } = await commandProcess(environmentOf(pooler.url), 'serve')
  await pooler.close()
  expect(code).toBe(1)
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stderr).toMatch(/pooler refuses transactions/)
})

test.runIf(present)('a default that cannot be changed through a pooler is refused in one line', async () => {
  const own = await freshDatabase()
  const name = new URL(own.url).pathname.slice(1)
  await own.query(`ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`)
  const pooler = await openPgBouncer(own.url, 'transaction')
  const { code, stderr } = await commandProcess(environmentOf(pooler.url), 'serve')
  await pooler.close()
  await own.drop()
  expect(code).toBe(1)
  expect(stderr).toMatch(/^.*default_transaction_isolation = 'serializable'.*\n$/)
})

test.runIf(present)('a pooler that has no session left is waited for with a limit and a word', async () => {
  const pooler = await openPgBouncer(database.url, 'session', 1)
  expect(await run(pooler.url, 'migrate')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/pooler that had no second session within 3 seconds/),
  })
  const holder = new pg.Client({ connectionString: pooler.url })
  await holder.connect()
  await holder.query('SELECT 1')
  expect(await run(pooler.url, 'keys', 'list')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/Waiting for the database.*did not answer within 3 seconds/s),
  })
  await holder.end()
  await pooler.close()
})

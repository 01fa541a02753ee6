/** Long because every way that a migration can go wrong is tried on a real database. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { migrate, migrationStateOf } from '../../src/database/migrate.ts'
import { migrationsDirectory } from '../../src/database/migration-files.ts'
import {
  administer,
  advisoryLockIsAwaited,
  type FreshDatabase,
  freshDatabase,
  withDatabase,
} from '../support/database.ts'
import { migrationList, noFilters, schemaScript, withPrismaEngine } from '../support/prisma-engine.ts'

/**
 * Migrations: what they make is what the schema says; what they leave is what Prisma's own engine leaves; and a
 * database that does not fit is refused in a sentence. One long file, because all of them need the same empty
 * databases and scratch directories of migrations.
 */

/** Polls for as long as the test may take. */

const opened: FreshDatabase[] = []
const directories: string[] = []

async function fresh(): Promise<FreshDatabase> {
  const database = await freshDatabase()
  opened.push(database)
  return database
}

/** A database with nothing in it. */
async function empty(): Promise<FreshDatabase> {
  const database = await fresh()
  await database.query('DROP SCHEMA public CASCADE')
  await database.query('CREATE SCHEMA public')
  return database
}

/** A directory with one migration for each script: 1_, 2_, … */
function directoryOf(...scripts: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-migrations-'))
  directories.push(directory)
  for (const [index, script] of scripts.entries()) {
    mkdirSync(join(directory, `${index + 1}_`))
    writeFileSync(join(directory, `${index + 1}_`, 'migration.sql'), script)
  }
  return directory
}

afterEach(async () => {
  for (const database of opened.splice(0)) await database.drop()
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

/** Columns and indexes as PostgreSQL describes them, without the bookkeeping of migrations. */
async function structure(database: FreshDatabase): Promise<unknown> {
  const columns = await database.query(
    `SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, datetime_precision
       FROM information_schema.columns
      WHERE table_schema = 'public' AND table_name <> '_prisma_migrations' ORDER BY 1, 2`,
  )
  const indexes = await database.query(
    // How an index is stored is nothing that Prisma's schema can say.
    `SELECT tablename, regexp_replace(indexdef, ' WITH \\(.*?\\)', '') AS indexdef FROM pg_indexes
      WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' ORDER BY 1, 2`,
  )
  return { columns, indexes }
}

test('the migrations make what prisma/schema.prisma says, column by column', async () => {
  const migrated = await fresh()
  const declared = await empty()
  await declared.query(await schemaScript(declared.url))
  expect(await structure(migrated)).toEqual(await structure(declared))
})

test('applying them again changes nothing', async () => {
  const database = await fresh()
  expect(await migrate(database.url)).toEqual([])
  expect((await migrationStateOf(database.url)).pending).toEqual([])
})

test('a migration that waits for a reader of the ledger, a backup for instance, holds up no commit', async () => {
  const database = await fresh()
  // As the release before left it.
  await database.query('CREATE INDEX audit_record_jti_idx ON audit_record (jti)')
  await database.query(
    `DELETE FROM _prisma_migrations WHERE migration_name BETWEEN '20261122010000' AND '20261122019999'`,
  )
  const reader = new pg.Client({ connectionString: database.url })
  const writer = new pg.Client({ connectionString: `${database.url}&options=-c%20lock_timeout%3D5000` })
  await Promise.all([reader.connect(), writer.connect()])
  await reader.query('BEGIN')
  await reader.query('SELECT count(*) FROM audit_record')
  const migrated = migrate(database.url)
  await expect
    .poll(() =>
      writer
        .query(`SELECT 1 FROM pg_stat_activity WHERE query LIKE '%DROP INDEX CONC%' AND wait_event_type = 'Lock'
                   AND datname = current_database() AND pid <> pg_backend_pid()`)
        .then(({ rowCount }) => rowCount),
    )
    .toBe(1)
  await writer.query(`SELECT ledger_commit(NULL, '[]')`)
  await reader.query('COMMIT')
  expect(await migrated).toHaveLength(2)
  expect(await database.query(`SELECT 1 FROM pg_indexes WHERE indexname = 'audit_record_jti_idx'`)).toEqual(
    [],
  )
  await Promise.all([reader.end(), writer.end()])
})

test('lists that were NULL become empty, and a client that was refused for that still is', async () => {
  const database = await fresh()
  for (const [table, name] of [
    ['access', 'access_scopes_not_null'],
    ['resource', 'resource_scopes_not_null'],
    ['client', 'client_allowed_networks_not_null'],
    ['verifier', 'verifier_kids_not_null'],
  ])
    await database.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`)
  await database.query(`INSERT INTO resource (audience, name, scopes) VALUES ('urn:a', 'a', '{x,NULL}')`)
  await database.query(`INSERT INTO client (client_id, name, allowed_networks) VALUES ('a', 'a', NULL)`)
  await database.query(`INSERT INTO access (client_id, audience, scopes) VALUES ('a', 'urn:a', NULL)`)
  await database.query(
    `DELETE FROM _prisma_migrations WHERE migration_name = '20261127000100_lists_not_null'`,
  )
  expect(await migrate(database.url)).toHaveLength(1)
  expect(
    await database.query(
      'SELECT r.scopes, a.scopes AS granted, allowed_networks FROM resource r, access a, client',
    ),
  ).toEqual([{ scopes: ['x'], granted: [], allowed_networks: ['255.255.255.255/32'] }])
})

test('a column that the ledger gets holds up no commit while a backup reads it', async () => {
  const database = await fresh()
  await database.query('ALTER TABLE audit_record DROP COLUMN committed_at')
  await database.query('DROP TRIGGER audit_chain_stamp_change ON audit_chain')
  await database.query('DROP FUNCTION ledger_stamp_change')
  await database.query('ALTER TABLE audit_chain DROP COLUMN committed_at')
  await database.query(`DELETE FROM _prisma_migrations WHERE migration_name = '20261127000000_commit_time'`)
  const reader = new pg.Client({ connectionString: database.url })
  const writer = new pg.Client({ connectionString: `${database.url}&options=-c%20lock_timeout%3D5000` })
  await Promise.all([reader.connect(), writer.connect()])
  await reader.query('BEGIN')
  await reader.query('SELECT count(*) FROM audit_record')
  const migrated = migrate(database.url)
  const waits = () =>
    writer
      .query(
        `SELECT 1 FROM pg_stat_activity
          WHERE query LIKE '%When a record was committed%' AND state = 'active' AND datname = current_database()
            AND pid <> pg_backend_pid()`,
      )
      .then(({ rowCount }) => rowCount)
  await expect.poll(waits).toBe(1)
  for (let commits = 0; commits < 5; commits += 1) await writer.query(`SELECT ledger_commit(NULL, '[]')`)
  expect(await waits()).toBe(1)
  await reader.query('COMMIT')
  expect(await migrated).toHaveLength(1)
  await Promise.all([reader.end(), writer.end()])
})

test('an upgrade pins clients to what they had, and leaves the type of tokens as it was', async () => {
  const database = await fresh()
  const folder = join(migrationsDirectory, '20261126100000_callers_and_verifiers')
  // As the release before left it.
  await database.query(`ALTER TABLE resource DROP COLUMN token_typ;
    ALTER TABLE client ALTER COLUMN token_endpoint_auth_method SET DEFAULT 'client_secret_basic';
    INSERT INTO client (client_id, name) VALUES ('old', 'old');
    INSERT INTO resource (audience, name, scopes) VALUES ('urn:old', 'old', '{}')`)
  await database.query(readFileSync(join(folder, 'migration.sql'), 'utf8'))
  await database.query(`INSERT INTO client (client_id, name) VALUES ('new', 'new')`)
  expect(
    await database.query(
      'SELECT client_id AS id, token_endpoint_auth_method AS method FROM client ORDER BY client_id DESC',
    ),
  ).toEqual([
    { id: 'old', method: 'client_secret_basic' },
    { id: 'new', method: null },
  ])
  expect(await database.query('SELECT token_typ FROM resource')).toEqual([{ token_typ: 'at+jwt' }])
})

test('two processes that migrate an empty database at once take turns', async () => {
  const server = inject('postgresUrl')
  const name = `empty_${Date.now()}`
  await administer(server, `CREATE DATABASE ${name}`)
  const url = withDatabase(server, name)
  const applied = await Promise.all([migrate(url), migrate(url)])
  const { length: all } = (await migrationStateOf(url)).applied
  expect(applied.map((names) => names.length).sort()).toEqual([0, all])
  expect(all).toBeGreaterThan(1)
  await administer(server, `DROP DATABASE ${name} WITH (FORCE)`)
})

test.each([
  [
    'of a newer release',
    `migration_name = '20990101000000_from_the_future'
     WHERE migration_name = (SELECT max(migration_name) FROM _prisma_migrations)`,
    /newer release/,
  ],
  [
    'of another program',
    `migration_name = '20240101000000_init'`,
    /belongs to another program: .* \?schema=NAME/,
  ],
  [
    'of another program that failed there',
    `migration_name = '20240101000000_init', finished_at = NULL`,
    /belongs to another program/,
  ],
  ['that was edited after it was applied', `checksum = 'x'`, /was edited/],
  ['that failed', `finished_at = NULL, logs = 'x'`, /failed and was rolled back/],
  [
    'that Prisma or an earlier release began and did not end',
    'finished_at = NULL, id = gen_random_uuid()',
    /was interrupted: .* delete the row/,
  ],
])('a migration %s is refused in one line', async (_title, change, message) => {
  const database = await fresh()
  await database.query(`UPDATE _prisma_migrations SET ${change}`)
  await expect(migrationStateOf(database.url)).rejects.toThrow(message)
  await expect(migrate(database.url)).rejects.toThrow(message)
})

describe("Prisma's own engine", () => {
  const diagnosis = { migrationsList: migrationList(migrationsDirectory), filters: noFilters }
  const inSync = {
    hasMigrationsTable: true,
    history: null,
    failedMigrationNames: [],
    editedMigrationNames: [],
  }

  /** The rows without what differs from one run to the next. */
  async function rowsOf(database: FreshDatabase): Promise<unknown> {
    return await database.query(
      `SELECT migration_name, checksum, applied_steps_count, rolled_back_at, logs IS NOT NULL AS has_logs,
              finished_at >= started_at AS finished, id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AS has_uuid
         FROM _prisma_migrations ORDER BY started_at`,
    )
  }

  async function tablesOf(database: FreshDatabase): Promise<unknown> {
    return await database.query(
      `SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position`,
    )
  }

  async function applyWithEngine(database: FreshDatabase, directory: string): Promise<readonly string[]> {
    return await withPrismaEngine(database.url, async (engine) => {
      const input = { migrationsList: migrationList(directory), filters: noFilters }
      return (await engine.applyMigrations(input)).appliedMigrationNames
    })
  }

  test('finds nothing to do, and no drift, in a database that we migrated', async () => {
    const database = await empty()
    await migrate(database.url)
    await withPrismaEngine(database.url, async (engine) => {
      expect(await engine.diagnoseMigrationHistory({ ...diagnosis, optInToShadowDatabase: true })).toEqual(
        inSync,
      )
      expect(await engine.devDiagnostic(diagnosis)).toEqual({ action: { tag: 'createMigration' } })
      expect(await engine.applyMigrations(diagnosis)).toEqual({ appliedMigrationNames: [] })
    })
  })

  test('notices what we would hide from it: the drift check above can fail', async () => {
    const database = await fresh()
    await database.query('ALTER TABLE client ADD COLUMN surprise text')
    await withPrismaEngine(database.url, async (engine) => {
      expect(await engine.devDiagnostic(diagnosis)).toMatchObject({ action: { tag: 'reset' } })
    })
  })

  test('leaves a database in which we find nothing to do, and the same rows and tables as we do', async () => {
    const [theirs, ours] = [await empty(), await empty()]
    const names = await applyWithEngine(theirs, migrationsDirectory)
    expect(await migrationStateOf(theirs.url)).toEqual({ pending: [], applied: names })
    expect(await migrate(theirs.url)).toEqual([])
    expect(await migrate(ours.url)).toEqual(names)
    expect(await rowsOf(ours)).toEqual(await rowsOf(theirs))
    expect(await tablesOf(ours)).toEqual(await tablesOf(theirs))
  })

  test.each([
    [
      'in the middle of a file',
      'CREATE TABLE b (); INSERT INTO a VALUES (1); SELECT 1 / 0; CREATE TABLE c ()',
    ],
    ['in a file that cannot be read', 'CREATE TABLE b (); CREATE TABEL c ()'],
    ['after a COMMIT in the file', 'BEGIN; CREATE TABLE b (); COMMIT; CREATE TABLE c (); SELECT 1 / 0'],
    ['with CONCURRENTLY', 'CREATE UNIQUE INDEX CONCURRENTLY i ON a (n)'],
    ['at the end of the transaction', 'INSERT INTO deferred VALUES (1), (1); CREATE TABLE b ()'],
  ])('leaves the same as we do when a migration fails %s', async (_title, failing) => {
    const first =
      'CREATE TABLE a (n int); INSERT INTO a VALUES (2), (2); ' +
      'CREATE TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)'
    const directory = directoryOf(first, failing, 'CREATE TABLE z ()')
    const [theirs, ours] = [await empty(), await empty()]
    await expect(applyWithEngine(theirs, directory)).rejects.toThrow()
    await expect(migrate(ours.url, { directory })).rejects.toThrow(/^The migration 2_ failed: ERROR: /)
    const rows = await rowsOf(ours)
    expect(rows).toEqual(await rowsOf(theirs))
    expect(rows).toMatchObject([
      { finished: true, applied_steps_count: 1, has_logs: false },
      { finished: null, applied_steps_count: 0, has_logs: true, rolled_back_at: null },
    ])
    expect(await tablesOf(ours)).toEqual(await tablesOf(theirs))
    expect(await ours.query('SELECT * FROM a')).toEqual(await theirs.query('SELECT * FROM a'))
    const indexes = `SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid
                      WHERE relnamespace = 'public'::regnamespace ORDER BY 1`
    expect(await ours.query(indexes)).toEqual(await theirs.query(indexes))
    // The engine goes no further than we do, and knows why.
    await expect(applyWithEngine(ours, directory)).rejects.toMatchObject({ code: 'P3009' })
    await expect(migrate(theirs.url, { directory })).rejects.toThrow(/^The migration 2_ failed/)
  })

  test('can mark a migration as rolled back, and both go on', async () => {
    const database = await empty()
    const failing = directoryOf('CREATE TABLE a ()', 'SELECT 1 / 0')
    await expect(migrate(database.url, { directory: failing })).rejects.toThrow()
    const directory = directoryOf('CREATE TABLE a ()', 'CREATE TABLE b ()')
    await withPrismaEngine(database.url, async (engine) => {
      await engine.markMigrationRolledBack({ migrationName: '2_' })
      expect(await migrate(database.url, { directory })).toEqual(['2_'])
      expect(
        await engine.applyMigrations({ migrationsList: migrationList(directory), filters: noFilters }),
      ).toEqual({ appliedMigrationNames: [] })
    })
  })

  test('and we take turns: its lock is ours', async () => {
    const database = await empty()
    const holder = new pg.Client({ connectionString: database.url, application_name: 'holder' })
    await holder.connect()
    await holder.query('SELECT pg_advisory_lock(72707369)')
    const { rows } = await holder.query('SELECT pg_backend_pid() AS pid')
    const named = `Another process migrates this database: process ${rows[0].pid} of the database server (holder`
    await expect(migrate(database.url, { patienceMilliseconds: 0 })).rejects.toThrow(named)
    const reports: string[] = []
    const reported = Promise.withResolvers<void>()
    const migrated = migrate(database.url, {
      report: (message) => {
        reports.push(message)
        reported.resolve()
      },
    })
    await reported.promise
    await holder.end()
    expect(await migrated).not.toEqual([])
    expect(reports).toEqual([expect.stringContaining(named)])
  })
})

describe('a migration that fails', () => {
  test("is told with the database's own sentence, and what to do; after that it goes on", async () => {
    const database = await empty()
    const script = 'CREATE TABLE b ();\nINSERT INTO b SELECT no_such_function()'
    await expect(migrate(database.url, { directory: directoryOf(script) })).rejects.toThrow(
      /^The migration 1_ failed: ERROR: function no_such_function\(\) does not exist \(SQLSTATE 42883\)\. It was rolled back as a whole; its row in _prisma_migrations stays, .* delete its row .* again\. .* has the statements/,
    )
    const [row] = await database.query<{ logs: string }>('SELECT logs FROM _prisma_migrations')
    expect(row?.logs).toMatch(
      /^Migration: 1_\n\nERROR: .* \(SQLSTATE 42883\)\.\nHint: .*\nPosition in the file: 41$/,
    )
    await database.query('DELETE FROM _prisma_migrations')
    expect(await migrate(database.url, { directory: directoryOf('CREATE TABLE b ()') })).toEqual(['1_'])
  })

  test('in a transaction of its own is told as well', async () => {
    const database = await empty()
    await expect(migrate(database.url, { directory: directoryOf('BEGIN; SELECT 1 / 0') })).rejects.toThrow(
      /division by zero .* its row in _prisma_migrations stays/,
    )
    expect(await database.query('SELECT 1 FROM _prisma_migrations WHERE logs IS NOT NULL')).toHaveLength(1)
  })

  test('with CONCURRENTLY may have left something behind, and says so', async () => {
    const database = await empty()
    const directory = directoryOf(
      'CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1)',
      '-- As it must be.\nCREATE UNIQUE INDEX CONCURRENTLY i ON a (n);',
    )
    const said = /could not create unique index .* It may have left something behind, because CONCURRENTLY/
    await expect(migrate(database.url, { directory })).rejects.toThrow(said)
    await expect(migrate(database.url, { directory })).rejects.toThrow(
      /failed and may have left something behind/,
    )
  })

  test('because it does not end its transaction leaves nothing', async () => {
    const database = await empty()
    const directory = directoryOf('BEGIN; CREATE TABLE b ()')
    await expect(migrate(database.url, { directory })).rejects.toThrow(
      /begins a transaction and does not end it/,
    )
    expect(await database.query(`SELECT to_regclass('b') AS b`)).toEqual([{ b: null }])
  })

  test('because the connection broke leaves nothing, and the next start begins it again', async () => {
    const database = await empty()
    const broken = 'CREATE TABLE b (); SELECT pg_terminate_backend(pg_backend_pid())'
    await expect(migrate(database.url, { directory: directoryOf(broken) })).rejects.toThrow(
      /The connection is lost\. .* it goes on\.$/,
    )
    const reports: string[] = []
    const directory = directoryOf('CREATE TABLE b ()', 'CREATE TABLE c ()')
    const report = (message: string) => reports.push(message)
    expect(await migrate(database.url, { directory, report })).toEqual(['1_', '2_'])
    expect(reports).toEqual(['The migration 1_ was interrupted before, and left nothing. It is applied now.'])
    expect(
      await database.query('SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL'),
    ).toHaveLength(2)
  })

  test.each([
    ['with CONCURRENTLY', 'DROP INDEX CONCURRENTLY IF EXISTS no_such_index'],
    ['with a transaction of its own', 'BEGIN;\nCREATE TABLE b ();\nCOMMIT;'],
    ['with a transaction that is spelt out', 'BEGIN WORK;\nCREATE TABLE b ();\nCOMMIT WORK;'],
    ['with a transaction of SQL', 'START TRANSACTION ISOLATION LEVEL SERIALIZABLE; CREATE TABLE b (); END'],
  ])('because the connection broke has to be looked at, if its file is one %s', async (_title, script) => {
    const database = await empty()
    const directory = directoryOf(script)
    await migrate(database.url, { directory })
    await database.query('UPDATE _prisma_migrations SET finished_at = NULL')
    await expect(migrate(database.url, { directory })).rejects.toThrow(/^The migration 1_ was interrupted/)
  })
})

test('a migration that is interrupted after its file ran is applied as a whole, or not at all', async () => {
  const database = await empty()
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  await holder.query('SELECT pg_advisory_lock(1)')
  const first = migrate(database.url, {
    directory: directoryOf('CREATE TABLE b (); SELECT pg_advisory_lock(1)'),
  })
  const isLost = expect(first).rejects.toThrow(/The connection is lost/)
  await expect.poll(() => database.query(advisoryLockIsAwaited)).not.toEqual([])
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  )
  await isLost
  await holder.end()
  expect(await database.query(`SELECT to_regclass('b') AS b`)).toEqual([{ b: null }])
  expect(await migrate(database.url, { directory: directoryOf('CREATE TABLE b ()') })).toEqual(['1_'])
})

test('a migration that was interrupted is one that the database lacks', async () => {
  const database = await fresh()
  const { applied } = await migrationStateOf(database.url)
  await database.query('UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name = $1', [
    applied.at(-1),
  ])
  const last = applied.at(-1)
  expect(await migrationStateOf(database.url)).toEqual({
    applied: applied.slice(0, -1),
    pending: [last],
    interrupted: last,
  })
})

test('a migration that waits for somebody says so, and goes on by itself', async () => {
  const database = await empty()
  await migrate(database.url, { directory: directoryOf('CREATE TABLE a ()') })
  const reader = new pg.Client(database.url)
  await reader.connect()
  await reader.query('BEGIN; SELECT FROM a')
  const directory = directoryOf('CREATE TABLE a ()', 'ALTER TABLE a ADD COLUMN b int')
  // The reader ends when the word has come, and not before.
  const report = (message: string) => {
    expect(message).toMatch(/^The migration 2_ is not done yet\. .* Do not end it/)
    void reader.end()
  }
  expect(await migrate(database.url, { directory, report, quietMilliseconds: 500 })).toEqual(['2_'])
})

test('a migration that runs at this moment is told from one that failed', async () => {
  const database = await empty()
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  await holder.query('SELECT pg_advisory_lock(1)')
  const migrated = migrate(database.url, { directory: directoryOf('SELECT pg_advisory_lock(1)') })
  await expect
    .poll(() => migrationStateOf(database.url).catch(String))
    .toMatch(
      /^OperatorError: The migration 1_ runs at this moment, in process \d+ .*\. Wait until it is done/,
    )
  await holder.end()
  expect(await migrated).toEqual(['1_'])
})

test('a process that waits for its turn does not stop the one that migrates', async () => {
  const database = await empty()
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  await holder.query('SELECT pg_advisory_lock(1)')
  // The second one waits for every statement that began before it, in any session.
  const directory = directoryOf(
    'CREATE TABLE a (n int); SELECT pg_advisory_lock(1)',
    'CREATE INDEX CONCURRENTLY i ON a (n)',
  )
  const first = migrate(database.url, { directory })
  await expect.poll(() => database.query(advisoryLockIsAwaited)).not.toEqual([])
  const waiting = Promise.withResolvers<string>()
  const second = migrate(database.url, { directory, report: waiting.resolve })
  await waiting.promise
  await holder.end()
  expect(await first).toEqual(['1_', '2_'])
  expect(await second).toEqual([])
})

test('a migration finds the same session, whatever the role and the migration before it have set', async () => {
  const database = await empty()
  const name = new URL(database.url).pathname.slice(1)
  await database.query(`ALTER DATABASE ${name} SET statement_timeout = 60000`)
  await database.query(`ALTER DATABASE ${name} SET default_transaction_isolation = serializable`)
  const directory = directoryOf(
    `SET lock_timeout = 60000; SELECT set_config('search_path', '', false); CREATE TABLE public.a ()`,
    `CREATE TABLE found AS SELECT name, setting FROM pg_settings
      WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_isolation', 'idle_session_timeout')`,
  )
  expect(await migrate(database.url, { directory })).toHaveLength(2)
  await database.query(`ALTER DATABASE ${name} RESET ALL`)
  expect(await database.query('SELECT * FROM found ORDER BY name')).toEqual([
    { name: 'idle_session_timeout', setting: '0' },
    { name: 'lock_timeout', setting: '0' },
    { name: 'statement_timeout', setting: '0' },
    { name: 'transaction_isolation', setting: 'read committed' },
  ])
})

test('a database of something else is left alone', async () => {
  const database = await empty()
  await database.query('CREATE TABLE theirs (n int)')
  await expect(migrate(database.url)).rejects.toThrow(/not Mintmark's: it has the table theirs/)
  expect(await database.query(`SELECT to_regclass('_prisma_migrations') AS ours`)).toEqual([{ ours: null }])
})

import pg from 'pg'
import { afterEach, expect, inject, test } from 'vitest'
import { migrate, migrationStateOf, schemaScript } from '../../src/database/migrate.ts'
import { administer, type FreshDatabase, freshDatabase, withDatabase } from '../support/database.ts'

/** Migrations: what they make is what the schema says, and a database that does not fit is refused in a sentence. */

const opened: FreshDatabase[] = []

async function fresh(): Promise<FreshDatabase> {
  const database = await freshDatabase()
  opened.push(database)
  return database
}

afterEach(async () => {
  for (const database of opened.splice(0)) await database.drop()
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
  const declared = await fresh()
  await declared.query('DROP SCHEMA public CASCADE')
  await declared.query('CREATE SCHEMA public')
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
  await database.query(`DELETE FROM _prisma_migrations WHERE migration_name >= '20261122010000'`)
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
  ['of a newer release', `migration_name = '20990101000000_from_the_future'`, /newer release/],
  ['that was edited after it was applied', `checksum = 'x'`, /was edited/],
  ['that failed', 'finished_at = NULL', /failed and was rolled back/],
])('a migration %s is refused in one line', async (_title, change, message) => {
  const database = await fresh()
  await database.query(`UPDATE _prisma_migrations SET ${change}`)
  await expect(migrationStateOf(database.url)).rejects.toThrow(message)
  await expect(migrate(database.url)).rejects.toThrow(message)
})

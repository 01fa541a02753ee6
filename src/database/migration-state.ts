import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { OperatorError } from '../errors.ts'
import { isOneTransaction, type Migration } from './migration-files.ts'
import { migrationLockHolder } from './migration-lock.ts'

export interface MigrationState {
  /** Migrations of this release that the database lacks, in order. */
  readonly pending: readonly string[]
  readonly applied: readonly string[]
  /** The one of `pending` that somebody began and did not end. Nothing of it is in the database. */
  readonly interrupted: string | undefined
}

/** A row of `_prisma_migrations` that was not marked as rolled back. */
interface MigrationRow {
  readonly id: string
  readonly name: string
  readonly checksum: string
  readonly finished: boolean
  /** Why it failed. A migration that runs, or whose process was killed, has none. */
  readonly logs: string | null
}

/**
 * Compares this release's migrations with the database's. Cheap enough for every start.
 * @throws OperatorError when the database is another program's or newer than this release, or a migration runs at this moment, was
 *   interrupted, failed or was edited.
 */
export async function migrationState(
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<MigrationState> {
  let rows = await readRows(client)
  const isUnfinished = rows.some(({ finished }) => !finished)
  const holder = isUnfinished ? await migrationLockHolder(client) : undefined
  // A process that held the lock may have finished between the two statements.
  if (isUnfinished && holder === undefined) rows = await readRows(client)
  // Other programs keep their migrations in a table of the same name. What is said below would not be about us.
  if (
    holder === undefined &&
    rows.length > 0 &&
    !rows.some((row) => migrations.some(({ name }) => name === row.name))
  ) {
    throw new OperatorError(
      'The schema of DATABASE_URL belongs to another program: its table _prisma_migrations has migrations, and none of ' +
        "them is Mintmark's. Nothing was changed. Name an empty database in DATABASE_URL, or another schema with ?schema=NAME.",
    )
  }
  const interrupted = holder === undefined ? rows.find(isWithoutTrace) : undefined
  rows = rows.filter((row) => row !== interrupted)
  for (const row of rows) {
    const migration = migrations.find(({ name }) => name === row.name)
    if (!row.finished) throw new OperatorError(describeUnfinished(row, migration, holder))
    if (migration === undefined) {
      throw new OperatorError(
        `The database has the migration ${row.name}, which this release of Mintmark does not know: it was ` +
          `migrated by a newer release. Run that release, or restore a backup from before.`,
      )
    }
    if (row.checksum !== migration.checksum) {
      throw new OperatorError(`The migration ${row.name} was edited after it was applied. Restore its file.`)
    }
  }
  const applied = rows.map(({ name }) => name)
  const pending = migrations.map(({ name }) => name).filter((name) => !applied.includes(name))
  return { pending, applied, interrupted: pending.find((name) => name === interrupted?.name) }
}

/** Where a UUID has its version. */
const versionAt = 14

/**
 * The id of a row whose end is written in the transaction of its file. It is a UUID of version 8 (RFC 9562); those of
 * Prisma and of our rows for other files have version 4.
 */
export function wholeRowId(): string {
  const id = randomUUID()
  return `${id.slice(0, versionAt)}8${id.slice(versionAt + 1)}`
}

/** Whether a row without an end says that nothing of its file is in the database, if nobody holds the lock. */
function isWithoutTrace({ id, finished, logs }: MigrationRow): boolean {
  return !finished && logs === null && id[versionAt] === '8'
}

/** @param name what `migrationState` calls interrupted. The caller holds the lock. */
export async function forgetInterrupted(client: pg.ClientBase, name: string): Promise<void> {
  await client.query(
    `DELETE FROM _prisma_migrations
      WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL AND logs IS NULL`,
    [name],
  )
}

async function readRows(client: pg.ClientBase): Promise<readonly MigrationRow[]> {
  if (!(await hasMigrationsTable(client))) return []
  const { rows } = await client.query<MigrationRow>(
    `SELECT id, migration_name AS name, checksum, finished_at IS NOT NULL AS finished, logs
       FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  )
  return rows
}

export async function hasMigrationsTable(client: pg.ClientBase): Promise<boolean> {
  // The path names only our schema and pg_temp. Not to_regclass, which fails without the right to use the schema.
  const { rowCount } = await client.query(
    `SELECT 1 FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relname = '_prisma_migrations' AND nspname = (current_schemas(false))[1]`,
  )
  return rowCount === 1
}

/** @param holder who holds the lock, if somebody does. */
function describeUnfinished(
  { name, logs }: MigrationRow,
  migration: Migration | undefined,
  holder: string | undefined,
): string {
  if (logs !== null) {
    return (
      `The migration ${name} failed${migration === undefined ? '' : ` and ${remainder(migration)}`}; ` +
      `_prisma_migrations.logs says why. ${afterFailure}`
    )
  }
  if (holder !== undefined) {
    return `The migration ${name} runs at this moment, in ${holder}. Wait until it is done, and try again.`
  }
  return (
    `The migration ${name} was interrupted: its row in _prisma_migrations says neither that it was applied nor ` +
    `that it failed. Look in the database for what its file (prisma/migrations/${name}/migration.sql) does. If that ` +
    `is there, set finished_at of the row to now(); if not, delete the row. Then run "bin/mintmark migrate" again. ` +
    statements
  )
}

const statements = 'docs/guides/production.md has the statements: "When a migration failed".'

/** What to do about a migration that failed, whether it failed just now or earlier. */
export const afterFailure = `Remove the cause, delete its row from _prisma_migrations, and run "bin/mintmark migrate" again. ${statements}`

/** What is left of a migration that failed. */
export function remainder(migration: Migration): string {
  return isOneTransaction(migration)
    ? 'was rolled back as a whole'
    : 'may have left something behind, because CONCURRENTLY does not run in a transaction'
}

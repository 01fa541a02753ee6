import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { OperatorError } from '../errors.ts'
import { DatabaseClient } from './client.ts'
import { firstLine } from './faults.ts'
import { DatabaseHosts } from './hosts.ts'
import {
  hasOwnTransaction,
  isOneTransaction,
  type Migration,
  migrationsDirectory,
  readMigrations,
  sqlToRun,
} from './migration-files.ts'
import { takeMigrationLock } from './migration-lock.ts'
import {
  afterFailure,
  forgetInterrupted,
  hasMigrationsTable,
  type MigrationState,
  migrationState,
  remainder,
  wholeRowId,
} from './migration-state.ts'
import { requireObjects } from './objects.ts'
import { requireOwnSession } from './own-session.ts'
import { sessionSettings, settingsStatement } from './session.ts'

/**
 * Applies migrations as Prisma's own command does, without its engine, which is not on npm. The files, the table
 * `_prisma_migrations` and the lock are those of Prisma, so that both can be used.
 */

export interface MigrateOptions {
  /** Called with what a person who waits should know, in whole sentences. */
  readonly report?: (message: string) => void
  /** Where the migrations are; this release's, if not said. */
  readonly directory?: string
  /** How long to wait for another process that migrates. */
  readonly patienceMilliseconds?: number
  /** After how long a migration that is not done yet is reported. */
  readonly quietMilliseconds?: number
}

/** Longer than any migration that nothing delays, and short enough for somebody who watches. */
const patienceMillisecondsDefault = 60_000

/** Longer than a migration takes that waits for nothing. */
const quietMillisecondsDefault = 10_000

/** Applies what is pending, under a lock, and returns the names. */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<readonly string[]> {
  const { directory = migrationsDirectory, patienceMilliseconds = patienceMillisecondsDefault } = options
  const { report = () => {}, quietMilliseconds = quietMillisecondsDefault } = options
  const migrations = readMigrations(directory)
  return await withSession(url, async (client, schema) => {
    await requireOwnSession(client, (use) => withSession(url, use))
    await client.query(migrationSession(schema))
    await takeMigrationLock(client, patienceMilliseconds, report)
    // Read under the lock: the process that held it before may have applied everything.
    const { pending, interrupted } = await migrationState(client, migrations)
    if (interrupted !== undefined) {
      report(`The migration ${interrupted} was interrupted before, and left nothing. It is applied now.`)
      await forgetInterrupted(client, interrupted)
    }
    if (pending.length > 0) await ensureMigrationsTable(client, schema)
    for (const migration of migrations) {
      if (!pending.includes(migration.name)) continue
      // Without a word somebody would end it, and it would have to begin again.
      const timer = setTimeout(() => report(waitsLong(migration)), quietMilliseconds)
      await apply(client, migration, schema).finally(() => clearTimeout(timer))
    }
    return pending
  })
}

const waitsLong = ({ name }: Migration): string =>
  `The migration ${name} is not done yet. It may wait for somebody who uses the tables, a backup for example, and goes on ` +
  'by itself. Do not end it: tokens are issued meanwhile. "SELECT * FROM pg_stat_activity" shows who else is connected.'

/** A pooler may have no session for us. */
const stateMillisecondsMax = 10_000

/** The state of a database named by URL. */
export async function migrationStateOf(url: string): Promise<MigrationState> {
  const read = async (client: DatabaseClient, schema: string): Promise<MigrationState> => {
    await client.start(sessionSettings(schema))
    return await readState(client)
  }
  return await withSession(url, read, stateMillisecondsMax)
}

/**
 * @param client whose session was started.
 * @throws OperatorError if the database lacks a migration, or if its migrations do not fit this release.
 */
export async function requireMigrated(client: DatabaseClient): Promise<void> {
  const { pending } = await readState(client)
  if (pending.length === 0) return
  const missing = pending.length === 1 ? 'a migration' : `${pending.length} migrations`
  throw new OperatorError(`The database lacks ${missing} of this release. Run "bin/mintmark migrate".`)
}

async function readState(client: DatabaseClient): Promise<MigrationState> {
  const state = await migrationState(client, readMigrations(migrationsDirectory))
  // What is still to be made would be missing.
  if (state.pending.length === 0) await requireObjects(client)
  return state
}

async function withSession<Result>(
  url: string,
  use: (client: DatabaseClient, schema: string) => Promise<Result>,
  queryMillisecondsMax?: number,
): Promise<Result> {
  const hosts = new DatabaseHosts(url)
  const client = new DatabaseClient({
    hosts,
    connectionTimeoutMillis: 5_000,
    ...(queryMillisecondsMax === undefined ? {} : { query_timeout: queryMillisecondsMax }),
  })
  // A connection that breaks fails the query that is under way; without a listener it would end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client, hosts.first.schema)
  } finally {
    await client.end()
  }
}

/**
 * What a migration must find, whatever the defaults of the server, database and role are, and whatever the
 * migration before it has set. No limit on time: a migration may have to wait for a backup, and would be cut off
 * in the middle. One that takes a lock for which tokens would wait sets its own lock_timeout.
 */
function migrationSession(schema: string): string {
  return `RESET ALL; ${settingsStatement(sessionSettings(schema))}`
}

/** @throws OperatorError for a database that belongs to something else; Prisma refuses it, too. */
async function ensureMigrationsTable(client: pg.Client, schema: string): Promise<void> {
  if (await hasMigrationsTable(client)) return
  // What belongs to an extension, PostGIS for instance, may be there. Some providers install it in every database.
  const { rows } = await client.query<{ name: string }>(
    `SELECT CASE WHEN relkind IN ('v', 'm') THEN 'view ' ELSE 'table ' END || relname AS name
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND nspname = $1
        AND NOT EXISTS (SELECT FROM pg_depend
                         WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
      ORDER BY relname LIMIT 1`,
    [schema],
  )
  if (rows[0] !== undefined) {
    throw new OperatorError(
      `The schema ${schema} of the database is not empty, and not Mintmark's: it has the ${rows[0].name}, and ` +
        `no table _prisma_migrations. Name an empty database in DATABASE_URL, or another schema with ?schema=NAME.`,
    )
  }
  try {
    await ensureSchema(client, schema)
    await client.query(migrationsTable)
  } catch (error) {
    throw new OperatorError(`The migration failed: ${sentenceOf(error)} Nothing was changed.`, {
      cause: error,
    })
  }
}

/** Not with IF NOT EXISTS, which needs a right on the database also where the schema exists. */
async function ensureSchema(client: pg.Client, schema: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])
  if (rowCount === 0) await client.query(`CREATE SCHEMA ${pg.escapeIdentifier(schema)}`)
}

/** Column by column as Prisma creates it. */
const migrationsTable = `
  CREATE TABLE _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL,
    logs TEXT,
    rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`

/**
 * The row comes first, so that others see what runs. The file and the end of the row are one transaction. So a process that
 * is killed, or a connection that breaks, leaves both or none of them, and the next `migrate` begins this file again.
 * A file that cannot be in our transaction has its row marked as finished afterwards. If that is missing, neither Prisma nor
 * we go on before somebody has looked.
 */
async function apply(client: pg.Client, migration: Migration, schema: string): Promise<void> {
  const { name, checksum } = migration
  const isWhole = isOneTransaction(migration) && !hasOwnTransaction(migration)
  const id = isWhole ? wholeRowId() : randomUUID()
  await client.query('INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, $2, $3)', [
    id,
    checksum,
    name,
  ])
  const sql = sqlToRun(migration)
  // The file may have changed settings, search_path for instance, on which the row's own statement depends.
  const finish = `${migrationSession(schema)};
    UPDATE _prisma_migrations SET applied_steps_count = applied_steps_count + 1, finished_at = clock_timestamp()
     WHERE id = ${pg.escapeLiteral(id)}`
  try {
    // Without parameters, and so in one message: PostgreSQL runs all of it as one transaction.
    await client.query(isWhole ? `${sql}\n;\n${finish}` : sql)
    if (client.getTransactionStatus() !== 'I')
      throw new Error('the file begins a transaction and does not end it')
  } catch (error) {
    const isRecorded = await recordFailure(client, schema, id, name, error)
    const after = isRecorded
      ? `It ${remainder(migration)}; its row in _prisma_migrations stays, with the details. ${afterFailure}`
      : `The connection is lost. When the database is back, run "bin/mintmark migrate" again: it ${isWhole ? 'goes on' : 'says what to do'}.`
    throw new OperatorError(`The migration ${name} failed: ${sentenceOf(error)} ${after}`, { cause: error })
  }
  if (!isWhole) await client.query(finish)
}

/** @returns false when the connection is lost. The row then stays without logs, and says as much. */
async function recordFailure(
  client: pg.Client,
  schema: string,
  id: string,
  name: string,
  error: unknown,
): Promise<boolean> {
  try {
    // A file with its own BEGIN can leave a transaction in which nothing more can be written.
    await client.query('ROLLBACK')
    await client.query(migrationSession(schema))
    await client.query('UPDATE _prisma_migrations SET logs = $2 WHERE id = $1', [id, logsOf(name, error)])
    return true
  } catch {
    return false
  }
}

/** What the row says of a failure; `prisma migrate` shows it. */
function logsOf(name: string, error: unknown): string {
  if (!(error instanceof pg.DatabaseError)) return `Migration: ${name}\n\n${sentenceOf(error)}`
  const { detail, hint, where, position } = error
  const more = { Detail: detail, Hint: hint, Where: where, 'Position in the file': position }
  return [
    `Migration: ${name}\n\n${sentenceOf(error)}`,
    ...Object.entries(more).flatMap(([title, value]) => (value === undefined ? [] : [`${title}: ${value}`])),
  ].join('\n')
}

/** The database's own sentence, with its code. */
function sentenceOf(error: unknown): string {
  const message = firstLine(error instanceof Error ? error.message : String(error))
  return error instanceof pg.DatabaseError
    ? `${error.severity ?? 'ERROR'}: ${message} (SQLSTATE ${error.code}).`
    : `${message}.`
}

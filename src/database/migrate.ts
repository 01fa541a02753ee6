import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import type { MigrationList, SchemaEngine } from '@prisma/schema-engine-wasm'
import pg from 'pg'
import { OperatorError } from '../errors.ts'
import { firstLine } from './faults.ts'

/**
 * Migrations without Prisma's engine binary, which npm does not carry: the same engine as WebAssembly,
 * over the same driver. It fills `_prisma_migrations` as Prisma's command does, so both can be used.
 */

const prismaDirectory = fileURLToPath(new URL('../../prisma/', import.meta.url))
const migrationsDirectory = join(prismaDirectory, 'migrations')

/** Session advisory lock, so that replicas that start together migrate one after the other. */
const migrationLock = [1_296_649_043, 2] as const

export interface MigrationState {
  /** Migrations of this release that the database lacks, in order. */
  readonly pending: readonly string[]
  readonly applied: readonly string[]
}

/**
 * Compares this release's migrations with the database's. Cheap enough for every start.
 * @throws OperatorError when the database is newer than this release, or a migration failed or was edited.
 */
export async function migrationState(client: pg.ClientBase): Promise<MigrationState> {
  const local = localMigrations()
  const { rows: tables } = await client.query(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS present`,
  )
  if (!tables[0].present) return { pending: local, applied: [] }
  const { rows } = await client.query<{ name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
       FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  )
  for (const row of rows) {
    if (!row.finished) {
      throw new OperatorError(
        `The migration ${row.name} failed and was rolled back as a whole; _prisma_migrations.logs says why. ` +
          `Remove the cause, delete its row from _prisma_migrations, and run "bin/mintmark migrate" again.`,
      )
    }
    if (!local.includes(row.name)) {
      throw new OperatorError(
        `The database has the migration ${row.name}, which this release of Mintmark does not know: it was ` +
          `migrated by a newer release. Run that release, or restore a backup from before.`,
      )
    }
    if (row.checksum !== checksumOf(row.name)) {
      throw new OperatorError(`The migration ${row.name} was edited after it was applied. Restore its file.`)
    }
  }
  const applied = rows.map((row) => row.name)
  return { pending: local.filter((name) => !applied.includes(name)), applied }
}

/** Applies what is pending, under a lock, and returns the names. */
export async function migrate(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1, $2)', [...migrationLock])
    const { pending } = await migrationState(client)
    if (pending.length === 0) return []
    return await withSchemaEngine(url, async (engine) => {
      const { appliedMigrationNames } = await engine.applyMigrations({
        migrationsList: migrationList(),
        filters: { externalTables: [], externalEnums: [] },
      })
      return appliedMigrationNames
    })
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError(`The migration failed: ${reasonOf(error)}`, { cause: error })
  } finally {
    await client.end()
  }
}

/** The database's own line, where the engine has one between its explanations; never its stack. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return firstLine(/^(?:ERROR|FATAL|PANIC): .*/m.exec(message)?.[0] ?? message)
}

/** The state of a database named by URL. */
export async function migrationStateOf(url: string): Promise<MigrationState> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return await migrationState(client)
  } finally {
    await client.end()
  }
}

/** The SQL that leads from nothing to the schema file; what a new migration is written from. */
export async function schemaScript(url: string): Promise<string> {
  return await withSchemaEngine(url, async (engine) => {
    const { stdout } = await engine.diff({
      from: { tag: 'empty' },
      to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schemaText() }] },
      script: true,
      exitCode: null,
      filters: { externalTables: [], externalEnums: [] },
    })
    return stdout ?? ''
  })
}

async function withSchemaEngine<Result>(
  url: string,
  use: (engine: SchemaEngine) => Promise<Result>,
): Promise<Result> {
  // Loaded only when there is something to apply: instantiating it costs more than the rest of a start.
  const { SchemaEngine } = await import('@prisma/schema-engine-wasm')
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  try {
    const factory = bindMigrationAwareSqlAdapterFactory(wholeScripts(new PrismaPg(pool)))
    const engine = await SchemaEngine.new(
      { datamodels: [['schema.prisma', schemaText()]] },
      () => {},
      factory,
    )
    try {
      return await use(engine)
    } finally {
      engine.free()
    }
  } finally {
    await pool.end()
  }
}

/**
 * The adapter cuts a script at every semicolon, also inside a function's body. PostgreSQL takes the script
 * as it is, and as one transaction: a migration is applied whole or not at all.
 */
function wholeScripts(factory: PrismaPg): PrismaPg {
  const connect = factory.connect.bind(factory)
  factory.connect = async () => {
    const adapter = await connect()
    adapter.executeScript = async (script) => {
      await adapter.underlyingDriver().query(script)
    }
    return adapter
  }
  return factory
}

function schemaText(): string {
  return readFileSync(join(prismaDirectory, 'schema.prisma'), 'utf8')
}

function localMigrations(): string[] {
  return readdirSync(migrationsDirectory, { withFileTypes: true })
    .filter(
      (entry) => entry.isDirectory() && existsSync(join(migrationsDirectory, entry.name, 'migration.sql')),
    )
    .map((entry) => entry.name)
    .sort()
}

function migrationSql(name: string): string {
  return readFileSync(join(migrationsDirectory, name, 'migration.sql'), 'utf8')
}

function checksumOf(name: string): string {
  return createHash('sha256').update(migrationSql(name)).digest('hex')
}

function migrationList(): MigrationList {
  return {
    baseDir: migrationsDirectory,
    lockfile: {
      path: 'migration_lock.toml',
      content: readFileSync(join(migrationsDirectory, 'migration_lock.toml'), 'utf8'),
    },
    shadowDbInitScript: '',
    migrationDirectories: localMigrations().map((name) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: migrationSql(name) } },
    })),
  }
}

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import { type MigrationList, SchemaEngine } from '@prisma/schema-engine-wasm'
import type pg from 'pg'
import { readMigrations } from '../../src/database/migration-files.ts'
import { administer, openPool, withDatabase } from './database.ts'

/**
 * Prisma's schema engine, as WebAssembly: what `prisma migrate` runs, over the same driver as ours. The tests
 * compare with it; nothing else needs it.
 */

export const noFilters = { externalTables: [], externalEnums: [] }

const schemaFile = fileURLToPath(new URL('../../prisma/schema.prisma', import.meta.url))

export async function withPrismaEngine<Result>(
  url: string,
  use: (engine: SchemaEngine) => Promise<Result>,
): Promise<Result> {
  const pool = openPool({ connectionString: url, max: 2 })
  try {
    const engine = await SchemaEngine.new(
      { datamodels: [['schema.prisma', readFileSync(schemaFile, 'utf8')]] },
      () => {},
      bindMigrationAwareSqlAdapterFactory(adapterFactory(url, pool)),
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
 * The adapter cuts a script at every semicolon, also inside a function's body; the engine's binary does not, and so
 * neither does this. And the adapter would make the shadow database, in which the engine tries migrations, out of
 * the database itself.
 */
function adapterFactory(url: string, pool: pg.Pool): PrismaPg {
  const factory = new PrismaPg(pool)
  const connect = async (to: pg.Pool) => {
    const charColumns = new Set<string>()
    const adapter = await new PrismaPg(noticing(to, charColumns)).connect()
    const queryRaw = adapter.queryRaw.bind(adapter)
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query)
      const columnTypes = result.columnTypes.map((type, index) =>
        charColumns.has(result.columnNames[index] ?? '') ? ColumnTypeEnum.Character : type,
      )
      return { ...result, columnTypes }
    }
    adapter.executeScript = async (script) => {
      await adapter.underlyingDriver().query(script)
    }
    return adapter
  }
  factory.connect = () => connect(pool)
  factory.connectToShadowDb = async () => {
    const name = `shadow_${randomUUID().replaceAll('-', '')}`
    await administer(url, `CREATE DATABASE ${name}`)
    const shadowPool = openPool({ connectionString: withDatabase(url, name), max: 2 })
    const adapter = await connect(shadowPool)
    adapter.dispose = async () => {
      await shadowPool.end()
      await administer(url, `DROP DATABASE ${name} WITH (FORCE)`)
    }
    return adapter
  }
  return factory
}

/**
 * The adapter refuses the type "char" of PostgreSQL's own tables, in which the engine reads a schema. Here it
 * passes for text, and the name of its column is noted.
 */
function noticing(pool: pg.Pool, charColumns: Set<string>): pg.Pool {
  const [charType, textType] = [18, 25]
  const query = pool.query.bind(pool) as (...given: unknown[]) => Promise<pg.QueryResult>
  const noticed = async (...given: unknown[]): Promise<pg.QueryResult> => {
    const result = await query(...given)
    for (const field of result.fields ?? []) {
      if (field.dataTypeID !== charType) continue
      field.dataTypeID = textType
      charColumns.add(field.name)
    }
    return result
  }
  return Object.assign(pool, { query: noticed })
}

/** The SQL that leads from nothing to the schema file; what a new migration is written from. */
export async function schemaScript(url: string): Promise<string> {
  return await withPrismaEngine(url, async (engine) => {
    const { stdout } = await engine.diff({
      from: { tag: 'empty' },
      to: {
        tag: 'schemaDatamodel',
        files: [{ path: schemaFile, content: readFileSync(schemaFile, 'utf8') }],
      },
      script: true,
      exitCode: null,
      filters: noFilters,
    })
    return stdout ?? ''
  })
}

/** The migrations of a directory, as the engine takes them. */
export function migrationList(directory: string): MigrationList {
  return {
    baseDir: directory,
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"' },
    shadowDbInitScript: '',
    migrationDirectories: readMigrations(directory).map(({ name, sql }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: sql } },
    })),
  }
}

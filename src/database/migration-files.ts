import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A migration of this release: one file of SQL in a folder of its own, as Prisma lays them out. */
export interface Migration {
  readonly name: string
  readonly sql: string
  /** SHA-256 of the file in hex, as Prisma writes it. */
  readonly checksum: string
}

export const migrationsDirectory = fileURLToPath(new URL('../../prisma/migrations/', import.meta.url))

/** All migrations of a directory, in the order of their names, which is the order in which they are applied. */
export function readMigrations(directory: string): readonly Migration[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(directory, entry.name, 'migration.sql')))
    .map(({ name }) => {
      const file = readFileSync(join(directory, name, 'migration.sql'))
      return { name, sql: file.toString('utf8'), checksum: createHash('sha256').update(file).digest('hex') }
    })
    .sort((left, right) => (left.name < right.name ? -1 : 1))
}

/**
 * Whether PostgreSQL applies the file as a whole or not at all. It runs several statements that arrive together
 * as one transaction. A statement with CONCURRENTLY refuses that, and so stands alone in its file.
 */
export function isOneTransaction({ sql }: Migration): boolean {
  return !/\bCONCURRENTLY\b/i.test(sql.replace(/--.*$/gm, ''))
}

/** The statements that begin or end a transaction. The BEGIN and the END of a block of PL/pgSQL are none. */
const ownTransaction =
  /(?:^|;)\s*(?:(?:BEGIN|COMMIT|ROLLBACK|ABORT)\s*;|(?:BEGIN|COMMIT|ROLLBACK|ABORT|END)\s+(?:WORK|TRANSACTION|ISOLATION|READ|AND)\b|START\s+TRANSACTION\b)/im

/** Whether the file begins or ends a transaction itself, and so cannot be a part of another one. */
export function hasOwnTransaction({ sql }: Migration): boolean {
  return ownTransaction.test(sql.replace(/--.*$/gm, ''))
}

/**
 * The file without the statement for the schema `public`, with which Prisma begins the first migration. This service
 * uses the schema of DATABASE_URL, which exists by now. The statement needs a right on the database even if there is
 * nothing to create. Blanks keep every position in the file.
 */
export function sqlToRun({ sql }: Migration): string {
  return sql.replace(/^CREATE SCHEMA IF NOT EXISTS "public";$/m, (statement) => ' '.repeat(statement.length))
}

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { readConfig } from '../src/config.ts'
import { type EmbeddedDatabase, openEmbedded } from '../src/database/embedded.ts'
import { migrate } from '../src/database/migrate.ts'
import { openDatabase } from '../src/database/open.ts'
import { makeDueKeys } from '../src/keys/rotation.ts'
import { keyEncryptionKey } from '../src/keys/seal.ts'
import { systemClock } from '../src/lib/clock.ts'

/**
 * The PostgreSQL server of the benchmark: the embedded one of the service, with a new database for each
 * caller.
 */
export interface DatabaseServer {
  readonly version: string
  /** The postmaster, the parent of all other PostgreSQL processes. */
  readonly processId: number
  /** Creates a migrated, empty database. */
  create(): Promise<BenchDatabase>
  release(): Promise<void>
}

export interface BenchDatabase {
  readonly url: string
  /** A connection for the statements of the benchmark itself. */
  readonly client: pg.Client
  drop(): Promise<void>
}

const templateName = 'bench_template'

/** The key-encryption key for all databases of a run. 32 bytes. */
export const sealingKey = randomBytes(32)

export async function openDatabaseServer(directory: string): Promise<DatabaseServer> {
  const server = await openEmbedded(join(directory, 'database'))
  try {
    await administer(server, `CREATE DATABASE ${templateName}`)
    await migrate(urlOf(server, templateName))
    await makeFirstKey(urlOf(server, templateName))
  } catch (error) {
    await server.release()
    throw error
  }
  let number = 0
  return {
    version: server.serverVersion,
    processId: Number.parseInt(readFileSync(join(server.directory, 'postmaster.pid'), 'utf8'), 10),
    async create() {
      number += 1
      const name = `bench_${number}`
      await administer(server, `CREATE DATABASE ${name} TEMPLATE ${templateName}`)
      const client = new pg.Client({ connectionString: urlOf(server, name) })
      // On Ctrl-C the server ends first. That must not crash this process.
      client.on('error', () => {})
      await client.connect()
      return {
        url: urlOf(server, name),
        client,
        async drop() {
          await client.end()
          await administer(server, `DROP DATABASE ${name} WITH (FORCE)`)
        },
      }
    },
    release: () => server.release(),
  }
}

/**
 * Creates the first signing key, which only a very first start does. Its time and memory would distort a
 * measurement.
 */
async function makeFirstKey(url: string): Promise<void> {
  const database = openDatabase(url)
  try {
    const keys = [keyEncryptionKey(sealingKey)] as const
    const { schedule } = readConfig({})
    const context = { database, clock: systemClock, actor: { by: 'bench' }, schedule }
    await makeDueKeys({ ...context, keyEncryptionKeys: async () => keys }, ['ES256'])
  } finally {
    await database.close()
  }
}

function urlOf(server: EmbeddedDatabase, name: string): string {
  const url = new URL(server.url)
  url.pathname = `/${name}`
  return url.href
}

async function administer(server: EmbeddedDatabase, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

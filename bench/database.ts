import { join } from 'node:path'
import pg from 'pg'
import { type EmbeddedDatabase, openEmbedded } from '../src/database/embedded.ts'
import { readServerFile } from '../src/database/embedded-server.ts'
import { migrate } from '../src/database/migrate.ts'

/** One PostgreSQL of the benchmark's own, as the service brings it, and in it a database for each who asks. */
export interface DatabaseServer {
  readonly version: string
  /** The postmaster, from which all others of its processes descend. */
  readonly processId: number
  /** A migrated, empty database. */
  create(): Promise<BenchDatabase>
  release(): Promise<void>
}

export interface BenchDatabase {
  readonly url: string
  /** A connection for what the benchmark itself has to say. */
  readonly client: pg.Client
  drop(): Promise<void>
}

const templateName = 'bench_template'

export async function openDatabaseServer(directory: string): Promise<DatabaseServer> {
  const server = await openEmbedded(join(directory, 'database'))
  try {
    await administer(server, `CREATE DATABASE ${templateName}`)
    await migrate(urlOf(server, templateName))
  } catch (error) {
    await server.release()
    throw error
  }
  let number = 0
  return {
    version: server.serverVersion,
    processId: readServerFile(server.directory)?.processId ?? 0,
    async create() {
      number += 1
      const name = `bench_${number}`
      await administer(server, `CREATE DATABASE ${name} TEMPLATE ${templateName}`)
      const client = new pg.Client({ connectionString: urlOf(server, name) })
      // The end of the server, on Ctrl-C, is nothing to die of.
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

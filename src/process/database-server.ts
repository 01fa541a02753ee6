import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { checkConnection, type Requirement } from '../database/check.ts'
import { openEmbedded } from '../database/embedded.ts'
import { DatabaseHosts } from '../database/hosts.ts'
import { OperatorError } from '../errors.ts'

/** The database server of the configuration. It is running and has answered. */
export interface DatabaseServer {
  readonly url: string
  /** For example `PostgreSQL 18.4 in /srv/mintmark/data`. */
  readonly description: string
  readonly embedded: boolean
  readonly warnings: readonly string[]
  /** Ends the use of the server. An embedded server stops when no other process uses it. */
  release(): Promise<void>
}

/**
 * What to do if there is no database. Commands that read or change a registry refuse: they must not create a
 * new, empty database.
 */
export type Absence = 'create' | 'refuse'

/** Milliseconds of waiting after which the operator is told the reason. */
const silenceMilliseconds = 1_500

/** Connections of the embedded server: 100 for one process and the commands, 8 for each further worker. */
function embeddedConnectionsMax(workers: number): number {
  return 100 + 8 * (workers - 1)
}

/**
 * @param report called with messages for the operator, in whole sentences.
 * @throws OperatorError if there is no database that can be used, or if it lacks what is required.
 */
export async function openDatabaseServer(
  config: Config,
  absence: Absence,
  requirement: Requirement,
  report: (message: string) => void,
): Promise<DatabaseServer> {
  const { databaseUrl, dataDirectory } = config
  if (databaseUrl !== undefined) {
    const { place } = new DatabaseHosts(databaseUrl)
    const timer = setTimeout(() => report(`Waiting for the database at ${place} …`), silenceMilliseconds)
    try {
      const { serverVersion, isPooled, warnings } = await checkConnection(databaseUrl, requirement)
      const description = `PostgreSQL ${serverVersion} at ${place}${isPooled ? ', through a pooler' : ''}`
      return { url: databaseUrl, description, embedded: false, warnings, release: async () => {} }
    } finally {
      clearTimeout(timer)
    }
  }
  if (absence === 'refuse' && !existsSync(join(dataDirectory, 'postgres'))) {
    throw new OperatorError(
      `There is no database in ${dataDirectory} yet. Run "npm start" or "bin/mintmark migrate" first, or set ` +
        'MINTMARK_DATA_DIR or DATABASE_URL to an existing database.',
    )
  }
  const settings = { max_connections: String(embeddedConnectionsMax(config.workers)) }
  const embedded = await openEmbedded(dataDirectory, { report, settings })
  if (requirement !== 'nothing') {
    try {
      await checkConnection(embedded.url, requirement)
    } catch (error) {
      await embedded.release()
      throw error
    }
  }
  const description = `PostgreSQL ${embedded.serverVersion} in ${dataDirectory}`
  return { url: embedded.url, description, embedded: true, warnings: [], release: () => embedded.release() }
}

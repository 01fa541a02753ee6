import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { checkConnection, describeUrl } from '../database/check.ts'
import { openEmbedded } from '../database/embedded.ts'
import { migrationStateOf } from '../database/migrate.ts'
import { OperatorError } from '../errors.ts'

/** The database server that the configuration means, up and answering. */
export interface DatabaseServer {
  readonly url: string
  /** `PostgreSQL 18.4 in /srv/mintmark/data`. */
  readonly description: string
  readonly embedded: boolean
  readonly warnings: readonly string[]
  /** Lets go of it; an embedded server that nobody else uses ends. */
  release(): Promise<void>
}

/** Commands that only look or change do not bring a new, empty database into being. */
export type Absence = 'create' | 'refuse'

/** Milliseconds after which somebody who waits is told what for. */
const silenceMilliseconds = 1_500

/** Connections of the embedded server: a hundred for one process and the commands beside it, eight for each more. */
function embeddedConnectionsMax(workers: number): number {
  return 100 + 8 * (workers - 1)
}

/** @param report told what an operator should know, in whole sentences. */
export async function openDatabaseServer(
  config: Config,
  absence: Absence,
  report: (message: string) => void,
): Promise<DatabaseServer> {
  const { databaseUrl, dataDirectory } = config
  if (databaseUrl !== undefined) {
    const place = describeUrl(databaseUrl)
    const timer = setTimeout(() => report(`Waiting for the database at ${place} …`), silenceMilliseconds)
    try {
      const { serverVersion, warnings } = await checkConnection(databaseUrl)
      const description = `PostgreSQL ${serverVersion} at ${place}`
      return { url: databaseUrl, description, embedded: false, warnings, release: async () => {} }
    } finally {
      clearTimeout(timer)
    }
  }
  if (absence === 'refuse' && !existsSync(join(dataDirectory, 'postgres'))) {
    throw new OperatorError(
      `There is no database in ${dataDirectory} yet. Run "npm start" or "bin/mintmark migrate" first, or say where ` +
        'it is with MINTMARK_DATA_DIR or DATABASE_URL.',
    )
  }
  const settings = { max_connections: String(embeddedConnectionsMax(config.workers)) }
  const embedded = await openEmbedded(dataDirectory, { report, settings })
  const description = `PostgreSQL ${embedded.serverVersion} in ${dataDirectory}`
  return { url: embedded.url, description, embedded: true, warnings: [], release: () => embedded.release() }
}

/** @throws OperatorError unless the database is exactly what this release needs. */
export async function requireMigrated(url: string): Promise<void> {
  const { pending } = await migrationStateOf(url)
  if (pending.length === 0) return
  const missing = pending.length === 1 ? 'a migration' : `${pending.length} migrations`
  throw new OperatorError(`The database lacks ${missing} of this release. Run "bin/mintmark migrate".`)
}

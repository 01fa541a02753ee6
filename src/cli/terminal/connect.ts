import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, readConfig } from '../../config.ts'
import { openEmbedded } from '../../database/embedded.ts'
import { migrationStateOf } from '../../database/migrate.ts'
import { checkConnection, type Database, describeUrl, openDatabase } from '../../database/open.ts'
import { OperatorError } from '../../errors.ts'
import type { Actor } from '../../ledger/change-records.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { operatingSystemActor } from './actor.ts'
import { note } from './output.ts'

/** The database that the configuration means, up and answering. */
export interface Server {
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
export async function openServer(
  config: Config,
  absence: Absence,
  report: (message: string) => void,
): Promise<Server> {
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

export interface Connection {
  readonly config: Config
  readonly server: Server
  readonly database: Database
  readonly clock: Clock
  /** Who makes changes over this connection. */
  readonly actor: Actor
  /** Aborted by Ctrl-C and the like. */
  readonly signal: AbortSignal
}

/** Milliseconds for what is under way when a command is interrupted. */
const interruptedGraceMilliseconds = 2_000

/**
 * Opens the database for one command and closes it again, however the command ends. An interrupted command
 * lets go as well: the embedded server would otherwise stay behind.
 */
export async function withDatabase<Result>(
  run: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  const config = readConfig()
  const interruption = new AbortController()
  const interrupt = (signal: NodeJS.Signals): void => interruption.abort(new Interrupted(signal))
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt).once('SIGHUP', interrupt)
  // The launcher was killed: nobody waits for the answer any more.
  const abandon = (): void => interrupt('SIGTERM')
  if (process.channel) process.once('disconnect', abandon)
  process.channel?.unref()
  try {
    const server = await openServer(config, 'refuse', note)
    try {
      await requireMigrated(server.url)
      const database = openDatabase(server.url)
      const { signal } = interruption
      const closed = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      })
      try {
        const actor = operatingSystemActor()
        const connection = { config, server, database, clock: systemClock, actor, signal }
        return await Promise.race([run(connection), closed])
      } finally {
        const grace = signal.aborted
          ? sleep(interruptedGraceMilliseconds, undefined, { ref: false })
          : undefined
        await Promise.race([database.close(), ...(grace === undefined ? [] : [grace])])
      }
    } finally {
      await server.release()
    }
  } finally {
    process
      .off('SIGINT', interrupt)
      .off('SIGTERM', interrupt)
      .off('SIGHUP', interrupt)
      .off('disconnect', abandon)
  }
}

/** A command ended by a signal. Its exit code is the shell's for that signal. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(signal)
    this.exitCode = signal === 'SIGINT' ? 130 : signal === 'SIGHUP' ? 129 : 143
  }
}

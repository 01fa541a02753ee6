import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, readConfig } from '../../config.ts'
import { type Database, openDatabase } from '../../database/open.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { type DatabaseServer, openDatabaseServer, requireMigrated } from '../../process/database-server.ts'
import { note } from './output.ts'

export interface Connection {
  readonly config: Config
  readonly server: DatabaseServer
  readonly database: Database
  readonly clock: Clock
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
    const server = await openDatabaseServer(config, 'refuse', note)
    try {
      await requireMigrated(server.url)
      const database = openDatabase(server.url)
      const { signal } = interruption
      const closed = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      })
      try {
        return await Promise.race([run({ config, server, database, clock: systemClock, signal }), closed])
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

import { setTimeout as sleep } from 'node:timers/promises'
import type { Sealing } from '../../administration/sealing.ts'
import { type Config, readCommandConfig } from '../../config.ts'
import { databaseNow } from '../../database/clock.ts'
import { type Database, openDatabase } from '../../database/open.ts'
import type { Actor } from '../../ledger/change-records.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { type DatabaseServer, openDatabaseServer } from '../../process/database-server.ts'
import { availableKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import { operatingSystemActor } from './actor.ts'
import { Interrupted } from './interrupted.ts'
import { note } from './output.ts'
import { terminal } from './terminal.ts'

export interface Connection {
  readonly config: Config
  readonly server: DatabaseServer
  readonly database: Database
  readonly clock: Clock
  /** Seconds since the command began, by a clock that does not jump. */
  elapsedSeconds(): number
  /**
   * Seconds since 1970 by the clock of the database. What is given until a time counts from it: the service judges by a
   * clock that agrees with it, and the clock of an operator's machine may be wrong by hours.
   */
  databaseSeconds(): Promise<number>
  /** Who makes changes over this connection. */
  readonly actor: Actor
  /** How changes of the registry are sealed; undefined where it is not sealed. */
  readonly sealing: Sealing | undefined
  readonly onUnsealed: () => void
  /** Aborted by SIGINT (Ctrl-C), SIGTERM, SIGHUP, or the end of the launcher. */
  readonly signal: AbortSignal
}

const unconfirmed =
  'WARNING: The change is in force on this database, but somebody cancelled the wait for its synchronous ' +
  'standby. A failover may lose the change. Check it again when the standby is back.'

const unsealed =
  'WARNING: This registry was sealed, and this change is not: MINTMARK_SEALED_REGISTRY is not "yes" here. ' +
  'Processes with this setting ignore the change. Set it, and run the command again, or run "bin/mintmark ' +
  'registry seal".'

/** Milliseconds for current statements to finish after an interruption. */
const interruptedGraceMilliseconds = 2_000

/**
 * Opens the database for one command and closes it when the command ends, fails or is interrupted. Otherwise
 * an embedded server would keep running.
 * @throws Interrupted if a signal ends the command.
 */
export async function withDatabase<Result>(
  run: (connection: Connection) => Promise<Result>,
): Promise<Result> {
  const { environment, onSignal } = terminal()
  const begunAt = systemClock.monotonicMilliseconds()
  const config = readCommandConfig(environment)
  const interruption = new AbortController()
  const ignoreSignals = onSignal((signal) => interruption.abort(new Interrupted(signal)))
  try {
    const server = await openDatabaseServer(config, 'refuse', 'tables', note)
    try {
      // A signal that came while this waited for the database. Whoever listens from now on does not hear of it.
      interruption.signal.throwIfAborted()
      const database = openDatabase(server.url, { onUnconfirmed: () => note(unconfirmed) })
      const { signal } = interruption
      const closed = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
      })
      try {
        const actor = operatingSystemActor()
        const sealing = sealingOf(config, server)
        const onUnsealed = () => note(unsealed)
        const connection = {
          config,
          server,
          database,
          clock: systemClock,
          elapsedSeconds: () => (systemClock.monotonicMilliseconds() - begunAt) / 1_000,
          databaseSeconds: async () => Math.floor(await databaseNow(database.prisma)),
          actor,
          sealing,
          onUnsealed,
          signal,
        }
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
    ignoreSignals()
  }
}

function sealingOf(config: Config, server: DatabaseServer): Sealing | undefined {
  if (!config.sealedRegistry) return undefined
  return { keyEncryptionKeys: () => availableKeyEncryptionKeys(config, server) }
}

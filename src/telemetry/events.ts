import type { KeyProblem } from '../keys/manifest.ts'
import type { KeyUpkeepEvents } from '../keys/upkeep.ts'
import { describeError, type Log } from './log.ts'

/** The log messages about keys and the clock. */

export function keyUpkeepEvents(log: Log): KeyUpkeepEvents {
  return {
    onFailed(error) {
      const message =
        'a due key could not be created or opened; the existing keys sign for as long as they may'
      log.error({ event: 'key_rotation_failed', error: describeError(error) }, message)
    },
    onRecovered() {
      log.info({ event: 'key_rotation_recovered' }, 'keys are created and opened again')
    },
    onUnlisted(algorithms) {
      const message =
        `the tokens of a resource are signed with ${algorithms.join(' and ')}, which is not in ` +
        'MINTMARK_SIGNING_ALGORITHMS; keys are created for it anyway; add it to the setting'
      log.warn({ event: 'algorithm_unlisted', algorithms }, message)
    },
  }
}

export function keyUnopened(log: Log, error: Error): void {
  log.error({ event: 'key_unopened', error: describeError(error) }, error.message)
}

/** Rows of the signing keys that nobody with the key-encryption key wrote like that. */
export function keysUnvouched(log: Log, problems: readonly KeyProblem[]): void {
  const message =
    'rows of signing_key were changed by somebody without the key-encryption key; they are neither published nor used'
  log.error(
    { event: 'key_unvouched', keys: problems.map(({ kid, problem }) => `${kid} ${problem}`) },
    message,
  )
}

/** @param offSeconds seconds that the clock is ahead of the database's clock; negative if it is behind. */
export function clockChanged(log: Log, reliable: boolean, offSeconds: number): void {
  if (reliable) {
    log.info({ event: 'clock_settled' }, 'the clock is reliable again; tokens are issued again')
    return
  }
  const message = 'the clock jumped or differs from the clock of the database; no token is issued; check NTP'
  log.error({ event: 'clock_jumped', offSeconds }, message)
}

/** Reads came from another database than the commits, as after a failover. Their connections are replaced. */
export function readersReplaced(log: Log, reason: string): void {
  const message =
    'the database that answered reads is not the one that commits, as after a failover; its connections are replaced'
  log.warn({ event: 'database_readers_replaced', reason }, message)
}

/** @param error why DATABASE_URL_FILE could not be read; undefined if it has another URL now. */
export function databaseUrlReread(log: Log, error?: unknown): void {
  if (error === undefined) {
    const message = 'the database refused the password; DATABASE_URL_FILE has another URL now, which is used'
    log.info({ event: 'database_url_reread' }, message)
    return
  }
  const fields = { event: 'database_url_unreadable', error: describeError(error) }
  log.error(fields, 'the database refused the password, and DATABASE_URL_FILE could not be read again')
}

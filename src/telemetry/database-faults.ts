import type { Clock } from '../lib/clock.ts'
import { OAuthError } from '../refusals.ts'
import { describeError, type Log } from './log.ts'

export interface DatabaseFaultLog {
  onFault(error: unknown): void
  onRecovered(): void
  /**
   * @param isWell whether everything works that needs the database. A fault of which nothing else heard, such as the end of a
   * connection that nobody used, ends when it has been quiet for a while and all is well.
   */
  watch(isWell: () => boolean): void
}

/** Milliseconds without a fault after which the next fault starts a new outage. */
const quietMilliseconds = 10_000

/**
 * Logs a fault at most once a second, with the number of repetitions, so that the log of an outage still
 * shows how it began. Logs the end of the outage too, because the absence of faults can also mean the absence
 * of requests.
 */
export function databaseFaultLog(log: Log, clock: Clock): DatabaseFaultLog {
  /** The first and the last fault of an outage, on the monotonic clock in milliseconds. */
  let startedAt = Number.NEGATIVE_INFINITY
  let lastAt = Number.NEGATIVE_INFINITY
  let nextLogAt = 0
  let unlogged = 0
  /** Undefined as long as nobody watches: a service that does not open keeps no timer. */
  let isWell: (() => boolean) | undefined
  let timer: NodeJS.Timeout | undefined
  const onRecovered = (): void => {
    clearTimeout(timer)
    timer = undefined
    // The registry and the ledger both report the recovery. Only the first report is logged.
    if (startedAt === Number.NEGATIVE_INFINITY) return
    const seconds = (clock.monotonicMilliseconds() - startedAt) / 1_000
    const fields = { event: 'database_back', afterSeconds: Math.round(seconds * 10) / 10 }
    log.info(fields, 'the database answers again')
    startedAt = Number.NEGATIVE_INFINITY
    lastAt = Number.NEGATIVE_INFINITY
  }
  const lookLater = (): void => {
    timer = setTimeout(() => {
      if (isWell?.() && clock.monotonicMilliseconds() - lastAt >= quietMilliseconds) onRecovered()
      else lookLater()
    }, quietMilliseconds).unref()
  }
  return {
    onFault(error: unknown): void {
      const now = clock.monotonicMilliseconds()
      if (now - lastAt > quietMilliseconds) startedAt = now
      lastAt = now
      if (timer === undefined && isWell !== undefined) lookLater()
      if (now < nextLogAt) {
        unlogged += 1
        return
      }
      nextLogAt = now + 1_000
      log.error(
        { event: 'database_fault', repeated: unlogged, error: describeError(causeOf(error)) },
        'the database failed',
      )
      unlogged = 0
    },
    onRecovered,
    watch(nowIsWell): void {
      isWell = nowIsWell
      if (timer === undefined && startedAt !== Number.NEGATIVE_INFINITY) lookLater()
    },
  }
}

/** A refusal that a fault became says only what the caller is told. */
function causeOf(error: unknown): unknown {
  return error instanceof OAuthError && error.cause !== undefined ? error.cause : error
}

import type { Clock } from '../lib/clock.ts'
import { describeError, type Log } from './log.ts'

export interface DatabaseFaultLog {
  onFault(error: unknown): void
  onRecovered(): void
}

/** Milliseconds without a fault after which the next one is another outage. */
const quietMilliseconds = 10_000

/**
 * Logs a fault at most once a second, with how often it came: an outage must not bury its own beginning. And says
 * when it is over, because from silence nobody can tell.
 */
export function databaseFaultLog(log: Log, clock: Clock): DatabaseFaultLog {
  /** Of an outage: its first fault, and its last. */
  let startedAt = Number.NEGATIVE_INFINITY
  let lastAt = Number.NEGATIVE_INFINITY
  let next = 0
  let unsaid = 0
  return {
    onFault(error: unknown): void {
      const now = clock.monotonicMilliseconds()
      if (now - lastAt > quietMilliseconds) startedAt = now
      lastAt = now
      if (now < next) {
        unsaid += 1
        return
      }
      next = now + 1_000
      log.error(
        { event: 'database_fault', repeated: unsaid, error: describeError(error) },
        'the database failed',
      )
      unsaid = 0
    },
    onRecovered(): void {
      // Registry and ledger each say so; whoever is first has said it.
      if (startedAt === Number.NEGATIVE_INFINITY) return
      const seconds = (clock.monotonicMilliseconds() - startedAt) / 1_000
      const fields = { event: 'database_back', afterSeconds: Math.round(seconds * 10) / 10 }
      log.info(fields, 'the database answers again')
      startedAt = Number.NEGATIVE_INFINITY
      lastAt = Number.NEGATIVE_INFINITY
    },
  }
}

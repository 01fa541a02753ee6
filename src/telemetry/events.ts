import type { KeyUpkeepEvents } from '../keys/upkeep.ts'
import { describeError, type Log } from './log.ts'

/** What operators must know beside requests: the sentences of the log for what happens to keys and the clock. */

export function keyUpkeepEvents(log: Log): KeyUpkeepEvents {
  return {
    onFailed(error) {
      const message = 'keys could not be looked after; those there are go on for as long as they may'
      log.error({ event: 'key_rotation_failed', error: describeError(error) }, message)
    },
    onRecovered() {
      log.info({ event: 'key_rotation_recovered' }, 'keys are looked after again')
    },
    onUnlisted(algorithms) {
      const message =
        `a resource is signed with ${algorithms.join(' and ')}, which is not in MINTMARK_SIGNING_ALGORITHMS; it has keys ` +
        'for as long as that is so'
      log.warn({ event: 'algorithm_unlisted', algorithms }, message)
    },
  }
}

export function keyUnopened(log: Log, error: Error): void {
  log.error({ event: 'key_unopened', error: describeError(error) }, error.message)
}

/** @param offSeconds by how much the clock is ahead of the database's, or behind it where negative. */
export function clockChanged(log: Log, reliable: boolean, offSeconds: number): void {
  if (reliable) {
    log.info({ event: 'clock_settled' }, 'the clock is reliable again; tokens are issued')
    return
  }
  const message = 'the clock jumped or differs from the database; nothing is issued'
  log.error({ event: 'clock_jumped', offSeconds }, message)
}

import type { Clock } from './clock.ts'

/**
 * Detects jumps of the wall clock. The times in a token and the state of every key depend on this clock.
 * After a jump, keys would retire early or new tokens would be expired already. So while the clock is not
 * reliable, no token is issued, no key is rotated or removed, and the service reports it.
 *
 * The clock becomes unreliable when it moves against the monotonic clock by more than `jumpSecondsMax`, or
 * when it differs too much from the clock of the database. A jump can also be a correction, for example after
 * the machine slept or the clock was set. So the clock is reliable again after it has agreed with the
 * database for `settlingSeconds`.
 */
export interface ClockGuard {
  /**
   * Compares the clocks of this machine at each read, so that no token is issued before a jump is noticed.
   */
  readonly reliable: boolean
  /**
   * Whole seconds since 1970. While the clock is not reliable, this time continues from the last reliable one
   * by the monotonic clock. Use it for answers that must always be available. Code that changes something
   * must check `reliable` first.
   */
  readonly trustedSeconds: number
  /** The same in whole milliseconds, for records: a refusal gets the time at which it happened. */
  readonly trustedMilliseconds: number
  /**
   * Compares the clocks.
   * @param databaseSeconds the database's clock, read within the last `elapsedSeconds`.
   */
  check(databaseSeconds: number, elapsedSeconds: number): void
}

/** Seconds that the wall clock may move against the monotonic clock between two comparisons. */
const jumpSecondsMax = 5
/** Seconds of agreement with the database after which the clock is reliable again. */
const settlingSeconds = 10

export interface ClockGuardOptions {
  readonly clock: Clock
  readonly clockSkewSeconds: number
  /**
   * Called when the clock becomes unreliable, with its deviation in seconds, and when it is reliable again.
   */
  readonly onChange: (reliable: boolean, offSeconds: number) => void
}

/**
 * How far a clock may be from the clock of the database: half of the allowed skew. Then two replicas within
 * this tolerance are never further apart than the skew. At least a quarter of a second, because clocks under
 * NTP need it.
 */
export function clockToleranceSeconds(clockSkewSeconds: number): number {
  return Math.max(clockSkewSeconds / 2, 0.25)
}

/**
 * How many seconds a clock is ahead of another one, or behind if negative. The other clock was read at some
 * time within the last `elapsedSeconds`, so it may have moved on by up to this time.
 */
export function offSeconds(nowSeconds: number, otherSeconds: number, elapsedSeconds: number): number {
  const ahead = nowSeconds - otherSeconds
  return ahead < 0 ? ahead : Math.max(0, ahead - elapsedSeconds)
}

export function createClockGuard({ clock, clockSkewSeconds, onChange }: ClockGuardOptions): ClockGuard {
  const difference = () => (clock.nowMilliseconds() - clock.monotonicMilliseconds()) / 1000
  const tolerance = clockToleranceSeconds(clockSkewSeconds)
  let lastDifference = difference()
  let trusted = lastDifference
  let reliable = true
  /** Milliseconds on the monotonic clock since when the clock agrees with the database again. */
  let agreesSince: number | undefined

  /**
   * Checks whether the wall clock has jumped since the last check. Small corrections, as by NTP, are
   * accepted.
   */
  function checkForJump(): void {
    const now = difference()
    const jump = now - lastDifference
    lastDifference = now
    if (Math.abs(jump) > jumpSecondsMax) distrust(jump)
    if (reliable) trusted = now
  }

  function distrust(off: number): void {
    agreesSince = undefined
    if (reliable) onChange(false, off)
    reliable = false
  }

  return {
    get reliable() {
      checkForJump()
      return reliable
    },
    get trustedSeconds() {
      checkForJump()
      return Math.floor(trusted + clock.monotonicMilliseconds() / 1000)
    },
    get trustedMilliseconds() {
      checkForJump()
      return Math.round(trusted * 1000 + clock.monotonicMilliseconds())
    },
    check(databaseSeconds, elapsedSeconds) {
      checkForJump()
      const off = offSeconds(clock.nowMilliseconds() / 1000, databaseSeconds, elapsedSeconds)
      if (Math.abs(off) > tolerance) return distrust(off)
      if (reliable) return
      const now = clock.monotonicMilliseconds()
      agreesSince ??= now
      if (now - agreesSince < settlingSeconds * 1000) return
      reliable = true
      checkForJump()
      onChange(true, 0)
    },
  }
}

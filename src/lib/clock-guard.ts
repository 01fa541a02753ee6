import type { Clock } from './clock.ts'

/**
 * Notices when the wall clock jumps. Everything a token says and every key's state depends on it, and a jump
 * looks like the passing of time: keys would retire early, tokens would be born expired. So while there is
 * doubt nothing is issued, rotated or removed, and the service says so.
 *
 * There is doubt after the wall clock has moved away from the monotonic one by more than `jumpSecondsMax`, and
 * while it is further from the database's clock than clocks may be. A jump that turns out to be a correction
 * (a machine that slept, a clock that was set) is accepted when the database agrees for `settlingSeconds`.
 */
export interface ClockGuard {
  /** Looks at the clocks of this machine each time it is asked: a token must not be the first to find out. */
  readonly reliable: boolean
  /**
   * Seconds since 1970, whole. While there is doubt they go on from the last moment without any, by the
   * monotonic clock. For what is shown all the time; whatever changes something asks `reliable` first.
   */
  readonly trustedSeconds: number
  /**
   * Compares the clocks.
   * @param databaseSeconds the database's clock, read within the last `elapsedSeconds`.
   */
  check(databaseSeconds: number, elapsedSeconds: number): void
}

/** Seconds that the wall clock may move against the monotonic one between two looks. */
const jumpSecondsMax = 5
const settlingSeconds = 10

export interface ClockGuardOptions {
  readonly clock: Clock
  readonly clockSkewSeconds: number
  /** Told when it begins to doubt, with by how much the clock is off, and when it no longer does. */
  readonly onChange: (reliable: boolean, offSeconds: number) => void
}

/**
 * How far a clock may be from the database's: half of what any two may be apart, so that two replicas that
 * both keep to it do. Never less than a quarter of a second, which disciplined clocks need.
 */
export function clockToleranceSeconds(clockSkewSeconds: number): number {
  return Math.max(clockSkewSeconds / 2, 0.25)
}

/** By how much a clock is ahead (or, negative, behind) of one that was read within the last `elapsedSeconds`. */
export function offSeconds(nowSeconds: number, otherSeconds: number, elapsedSeconds: number): number {
  const late = nowSeconds - otherSeconds
  return late < 0 ? late : Math.max(0, late - elapsedSeconds)
}

export function createClockGuard({ clock, clockSkewSeconds, onChange }: ClockGuardOptions): ClockGuard {
  const difference = () => (clock.nowMilliseconds() - clock.monotonicMilliseconds()) / 1000
  const tolerance = clockToleranceSeconds(clockSkewSeconds)
  let seen = difference()
  let trusted = seen
  let reliable = true
  /** On the monotonic clock, in milliseconds: since when everything agrees again. */
  let agreesSince: number | undefined

  /** Looks whether the wall clock jumped since the last look. Small steps of a disciplined clock are followed. */
  function look(): void {
    const now = difference()
    const jump = now - seen
    seen = now
    if (Math.abs(jump) > jumpSecondsMax) doubt(jump)
    if (reliable) trusted = now
  }

  function doubt(off: number): void {
    agreesSince = undefined
    if (reliable) onChange(false, off)
    reliable = false
  }

  return {
    get reliable() {
      look()
      return reliable
    },
    get trustedSeconds() {
      look()
      return Math.floor(trusted + clock.monotonicMilliseconds() / 1000)
    },
    check(databaseSeconds, elapsedSeconds) {
      look()
      const off = offSeconds(clock.nowMilliseconds() / 1000, databaseSeconds, elapsedSeconds)
      if (Math.abs(off) > tolerance) return doubt(off)
      if (reliable) return
      const now = clock.monotonicMilliseconds()
      agreesSince ??= now
      if (now - agreesSince < settlingSeconds * 1000) return
      reliable = true
      look()
      onChange(true, 0)
    },
  }
}

/**
 * The clock is an argument, so tests can set the time. Decisions use seconds since 1970, the unit of `iat`
 * and `exp` (RFC 7519 §2). Waits and measurements use milliseconds of a monotonic clock, which never jumps.
 */
export interface Clock {
  /** Whole seconds since 1970. */
  nowSeconds(): number
  /** Whole milliseconds since 1970, for records. */
  nowMilliseconds(): number
  /** Milliseconds since a fixed moment, for durations and deadlines. Never goes back. */
  monotonicMilliseconds(): number
}

export const systemClock: Clock = {
  nowSeconds: () => Math.floor(Date.now() / 1000),
  nowMilliseconds: () => Date.now(),
  monotonicMilliseconds: () => performance.now(),
}

/**
 * Time as an argument. Everything that decides takes `now` in seconds, the unit of `iat` and `exp`
 * (RFC 7519 §2); only waiting and measuring uses milliseconds, and those from a clock that never jumps.
 */
export interface Clock {
  /** Seconds since 1970, whole. */
  nowSeconds(): number
  /** Milliseconds since 1970, whole. For records. */
  nowMilliseconds(): number
  /** Milliseconds since some fixed moment; never goes back. For durations and deadlines. */
  monotonicMilliseconds(): number
}

export const systemClock: Clock = {
  nowSeconds: () => Math.floor(Date.now() / 1000),
  nowMilliseconds: () => Date.now(),
  monotonicMilliseconds: () => performance.now(),
}

import { performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'

/** Time and chance are arguments, so that a test can set them. */
export interface Time {
  /** Seconds since 1970, of a clock that may jump. */
  nowSeconds(): number
  /** Seconds that only grow. They may stand still while the machine sleeps. */
  monotonicSeconds(): number
  /** Rejects with the reason of the signal if that is aborted first. */
  sleep(seconds: number, signal: AbortSignal): Promise<void>
  /** From 0 up to 1. */
  random(): number
}

export const systemTime: Time = {
  nowSeconds: () => Date.now() / 1000,
  monotonicSeconds: () => performance.now() / 1000,
  async sleep(seconds, signal) {
    try {
      await setTimeout(seconds * 1000, undefined, { signal })
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    }
  },
  // It spreads requests and decides about nothing that is secret.
  random: () => Math.random(),
}

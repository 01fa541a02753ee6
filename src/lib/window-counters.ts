/**
 * Counts events by bucket, each in a window of time that begins with its first event. All buckets stand in two arrays
 * of a fixed size: a million names that strangers make up take no more memory than one.
 */
export interface WindowCountersOptions {
  readonly buckets: number
  /** Events that a bucket takes in one window. */
  readonly eventsMax: number
  readonly windowSeconds: number
  readonly monotonicMilliseconds: () => number
}

export class WindowCounters {
  readonly #options: WindowCountersOptions
  readonly #counts: Uint32Array
  /** In whole seconds of the monotonic clock, rounded up. */
  readonly #windowEnds: Uint32Array

  constructor(options: WindowCountersOptions) {
    this.#options = options
    this.#counts = new Uint32Array(options.buckets)
    this.#windowEnds = new Uint32Array(options.buckets)
  }

  /** Counts one event. @returns undefined if it fits; else the seconds until the window is over, one or more. */
  take(bucket: number): number | undefined {
    const now = this.#nowSeconds()
    const end = this.#windowEnds[bucket] ?? 0
    const count = end > now ? (this.#counts[bucket] ?? 0) : 0
    if (count >= this.#options.eventsMax)
      return Math.min(Math.max(1, Math.ceil(end - now)), this.#options.windowSeconds)
    this.#counts[bucket] = count + 1
    if (count === 0) this.#windowEnds[bucket] = Math.ceil(now + this.#options.windowSeconds)
    return undefined
  }

  /** Takes one event back. */
  giveBack(bucket: number): void {
    const count = this.#counts[bucket] ?? 0
    if (count > 0) this.#counts[bucket] = count - 1
  }

  #nowSeconds(): number {
    return this.#options.monotonicMilliseconds() / 1_000
  }
}

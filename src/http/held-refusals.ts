import { limits } from '../limits.ts'

export interface HeldRefusalsOptions {
  /** Refusals that one address gets at once in a second. */
  readonly atOncePerAddress: number
  readonly monotonicMilliseconds: () => number
  readonly wait: (milliseconds: number) => Promise<void>
}

/**
 * Refusals of requests over a limit of failures, by address. Somebody who gets many of them in a second goes on guessing,
 * and waits for the others. An address keeps its count when its last connection is closed.
 */
export class HeldRefusals {
  readonly #options: HeldRefusalsOptions
  readonly #counts = new Map<string, number>()
  /** When they were begun to be counted, in milliseconds on the monotonic clock. */
  #since = Number.NEGATIVE_INFINITY

  constructor(options: HeldRefusalsOptions) {
    this.#options = options
  }

  /** @returns undefined if the refusal is to be sent at once; otherwise it is when the promise resolves. */
  hold(address: string): Promise<void> | undefined {
    const now = this.#options.monotonicMilliseconds()
    if (now - this.#since >= 1_000) {
      this.#since = now
      this.#counts.clear()
    }
    const count = (this.#counts.get(address) ?? 0) + 1
    this.#counts.set(address, count)
    return count > this.#options.atOncePerAddress
      ? this.#options.wait(limits.refusalHeldMilliseconds)
      : undefined
  }
}

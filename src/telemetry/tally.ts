import type { Clock } from '../lib/clock.ts'

/**
 * Counts events that strangers can cause as often as they like, and reports them at most once a second. The first
 * event is reported at once, so that the log shows when it began. What follows within a second is reported together
 * at its end.
 */
export interface TallyOptions {
  readonly clock: Pick<Clock, 'monotonicMilliseconds'>
  /**
   * @param counts how often each kind occurred since the last report.
   * @param address the address that caused the latest event.
   */
  readonly report: (counts: Readonly<Record<string, number>>, address: string | undefined) => void
}

const betweenReportsMilliseconds = 1_000

export class Tally {
  readonly #options: TallyOptions
  #counts: Record<string, number> = {}
  #address: string | undefined
  #nextReportAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(options: TallyOptions) {
    this.#options = options
  }

  /** @param kind one of a fixed number of names. It must not be chosen by a stranger. */
  count(kind: string, address: string | undefined): void {
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1
    this.#address = address
    if (this.#timer !== undefined) return
    const wait = this.#nextReportAt - this.#options.clock.monotonicMilliseconds()
    if (wait <= 0) this.#report()
    else this.#timer = setTimeout(() => this.#report(), wait).unref()
  }

  /** Reports what was counted since the last report. */
  flush(): void {
    if (this.#timer !== undefined) this.#report()
  }

  #report(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#nextReportAt = this.#options.clock.monotonicMilliseconds() + betweenReportsMilliseconds
    const counts = this.#counts
    this.#counts = {}
    this.#options.report(counts, this.#address)
  }
}

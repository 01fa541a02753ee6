import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'

/**
 * How many token requests are worked on at a time. The others that were let in wait in line.
 *
 * A request that waits too long for its commit is refused, and by then it has cost as much as a token. If the process
 * begins more requests than it can answer in that time, it only refuses, and the repeated requests keep it in that
 * state. So it begins as many as it lately answered in half of that time (Little's law). Waiting in line costs nothing.
 * A refusal costs as much as half a token, and the caller comes again.
 *
 * Work that waits for keys or a document from elsewhere costs nothing meanwhile, so it takes no place. Otherwise a
 * caller that knows a slow issuer could take all places. How many may wait is limited where they wait.
 */
export class Admission {
  readonly #now: () => number
  /** Unknown at the start, when nothing is compiled and nothing is in memory: the middle. */
  #limit = limits.requestsUnderWayMax / 2
  #begun = 0
  readonly #line = new Set<Waiting>()
  #windowStartedAt: number
  #answered = 0
  #most = 0
  #lastAnsweredAt: number

  readonly #waitingForOthers: () => number

  /**
   * @param monotonicMilliseconds the time.
   * @param waitingForOthers how much of what has begun waits for an answer from elsewhere.
   */
  constructor(monotonicMilliseconds: () => number, waitingForOthers: () => number = () => 0) {
    this.#now = monotonicMilliseconds
    this.#waitingForOthers = waitingForOthers
    this.#windowStartedAt = monotonicMilliseconds()
    this.#lastAnsweredAt = this.#windowStartedAt
  }

  /** How many are worked on at a time, at the moment. */
  get limit(): number {
    return this.#limit
  }

  /** Whether no more may be let in: the line is as long as it may be, or it does not move. */
  get isFull(): boolean {
    this.#measure()
    return this.#isMost || (this.#working >= this.#limit && this.#isStuck)
  }

  /**
   * @param isGone whether the caller has gone. Then its turn is skipped.
   * @returns undefined if the work may begin; else it may when the promise resolves. Rejects with `overloaded` if the line
   * does not move.
   */
  enter(isGone: () => boolean): Promise<void> | undefined {
    if (this.#working < this.#limit && this.#line.size === 0) {
      this.#begin()
      return undefined
    }
    // A body that came late was let in when there was room.
    if (this.#isMost) return Promise.reject(new OAuthError('overloaded'))
    return new Promise((resolve, reject) => this.#line.add({ isGone, resolve, reject }))
  }

  /** Counts work that has begun until it ends. */
  async count<Result>(work: Promise<Result>): Promise<Result> {
    let isAnswered = true
    try {
      return await work
    } catch (error) {
      isAnswered = !(error instanceof OAuthError && error.status === 503)
      throw error
    } finally {
      this.leave(isAnswered)
    }
  }

  /** @param isAnswered whether it was decided in time, with whatever result. */
  leave(isAnswered: boolean): void {
    this.#begun -= 1
    if (isAnswered) {
      this.#answered += 1
      this.#lastAnsweredAt = this.#now()
    } else if (this.#isStuck) this.#refuseLine()
    this.#measure()
    this.moveLine()
  }

  get #isMost(): boolean {
    return this.#working + this.#line.size >= limits.requestsUnderWayMax
  }

  get #working(): number {
    return this.#begun - this.#waitingForOthers()
  }

  /** For when work has begun to wait for others. */
  moveLine(): void {
    for (const waiting of this.#line) {
      if (this.#working >= this.#limit) return
      this.#line.delete(waiting)
      if (waiting.isGone()) waiting.reject(new OAuthError('overloaded'))
      else {
        this.#begin()
        waiting.resolve()
      }
    }
  }

  #begin(): void {
    // Without requests there was nothing to answer.
    if (this.#working === 0) this.#lastAnsweredAt = this.#now()
    this.#begun += 1
    this.#most = Math.max(this.#most, this.#working)
  }

  /** Whether nothing was answered for as long as an answer may take: the database is away, for example. */
  get #isStuck(): boolean {
    return this.#now() - this.#lastAnsweredAt > limits.commitTimeoutMilliseconds
  }

  #refuseLine(): void {
    for (const { reject } of this.#line) reject(new OAuthError('overloaded'))
    this.#line.clear()
  }

  /**
   * The number of answers shows the capacity only if there were enough requests. Otherwise the limit would shrink when
   * there are few callers.
   */
  #measure(): void {
    const now = this.#now()
    const elapsed = now - this.#windowStartedAt
    if (elapsed < limits.admissionWindowMilliseconds) return
    if (this.#most >= this.#limit / 2) {
      const answerable = Math.round((this.#answered / elapsed) * limits.answerMillisecondsAim)
      // A pause of the process must not erase what was learnt before.
      const next = Math.max(answerable, this.#limit / 2, limits.requestsBegunMin)
      this.#limit = Math.min(next, limits.requestsUnderWayMax)
    }
    this.#windowStartedAt = now
    this.#answered = 0
    this.#most = this.#working
  }
}

interface Waiting {
  readonly isGone: () => boolean
  readonly resolve: () => void
  readonly reject: (error: OAuthError) => void
}

import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'

/**
 * How many token requests are let in at a time.
 *
 * A request that waits for longer than a commit may take is refused, and by then it has cost all that a token costs. If more
 * are let in than can be answered in that time, nothing but such refusals is left, and their repetitions keep it so. So as
 * many are let in as were lately answered in half of that time (Little's law). The others are refused at the door, at once
 * and for next to nothing, and come again when Retry-After says. Pure: the time is an argument.
 */
export class Admission {
  #underWay = 0
  /** Unknown at the start, when nothing is compiled and nothing is in memory: the middle. */
  #limit = limits.requestsUnderWayMax / 2
  #windowStartedAt: number
  #answered = 0
  #most = 0

  /** @param now milliseconds on the monotonic clock, here and below. */
  constructor(now: number) {
    this.#windowStartedAt = now
  }

  /** How many are let in at the moment. */
  get limit(): number {
    return this.#limit
  }

  isFull(now: number): boolean {
    this.#measure(now)
    return this.#underWay >= this.#limit
  }

  /** Counts a request from now until it is decided. */
  async count<Result>(deciding: Promise<Result>): Promise<Result> {
    this.enter()
    let isAnswered = true
    try {
      return await deciding
    } catch (error) {
      isAnswered = !(error instanceof OAuthError && error.status === 503)
      throw error
    } finally {
      this.leave(isAnswered)
    }
  }

  enter(): void {
    this.#underWay += 1
    this.#most = Math.max(this.#most, this.#underWay)
  }

  /** @param isAnswered whether it was decided in time, with whatever result. */
  leave(isAnswered: boolean): void {
    this.#underWay -= 1
    if (isAnswered) this.#answered += 1
  }

  /** What was answered says what can be answered only where enough was asked: the limit would shrink for want of callers. */
  #measure(now: number): void {
    const elapsed = now - this.#windowStartedAt
    if (elapsed < limits.admissionWindowMilliseconds) return
    if (this.#most >= this.#limit / 2) {
      const answerable = (this.#answered / elapsed) * limits.answerMillisecondsAim
      // A pause of the process must not take all that was learnt before.
      const next = Math.max(answerable, this.#limit / 2, limits.requestsUnderWayMin)
      this.#limit = Math.min(next, limits.requestsUnderWayMax)
    }
    this.#windowStartedAt = now
    this.#answered = 0
    this.#most = this.#underWay
  }
}

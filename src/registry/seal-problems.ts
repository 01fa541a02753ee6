import type { Subject } from './seal-tree.ts'
import type { Difference } from './statement.ts'

/** Something that gives more than a holder of the key-encryption key registered. */
export interface SealProblem {
  /** `registry`: what is wrong concerns all of it. */
  readonly subject: Subject | 'registry'
  readonly id: string
  readonly differences: readonly Difference[]
}

/**
 * Problems remembered at most, and as many of the trust table. Somebody who can write to the database can make any
 * number of them.
 */
const problemsMax = 1_000

/**
 * The problems that a process has found, while it read clients for requests and while it looked through all of them.
 * After each full round, problems that were not found again are forgotten: their rows are gone.
 */
export class SealProblems {
  readonly #onFound: (problems: readonly SealProblem[]) => void
  #earlier = new Map<string, SealProblem>()
  #now = new Map<string, SealProblem>()
  #untold: SealProblem[] = []
  #trust: readonly SealProblem[] = []

  /** @param onFound told of those that are new. */
  constructor(onFound: (problems: readonly SealProblem[]) => void) {
    this.#onFound = onFound
  }

  /** No differences: the problem is gone. */
  note(subject: SealProblem['subject'], id: string, differences: readonly Difference[]): void {
    const key = `${subject} ${id}`
    if (differences.length === 0) {
      this.#earlier.delete(key)
      this.#now.delete(key)
      return
    }
    const before = this.#now.get(key) ?? this.#earlier.get(key)
    const isKnown = before !== undefined && before.differences.join() === differences.join()
    if (!isKnown && this.#found.size >= problemsMax) return
    const problem = { subject, id, differences }
    this.#now.set(key, problem)
    if (!isKnown) this.#untold.push(problem)
  }

  /** All that is wrong with the trust table. It is read as a whole and stays in memory, so no round looks at it again. */
  noteTrust(problems: readonly SealProblem[]): void {
    const known = new Set(this.#trust.map(textOf))
    this.#trust = problems.slice(0, problemsMax)
    this.#untold.push(...this.#trust.filter((problem) => !known.has(textOf(problem))))
  }

  /** Tells of those that are new since the last time. */
  tell(): void {
    const untold = this.#untold
    this.#untold = []
    if (untold.length > 0) this.#onFound(untold)
  }

  /** Everything was looked through. */
  endRound(): void {
    this.#earlier = this.#now
    this.#now = new Map()
  }

  get all(): readonly SealProblem[] {
    return [...this.#found.values(), ...this.#trust]
  }

  get #found(): ReadonlyMap<string, SealProblem> {
    return new Map([...this.#earlier, ...this.#now])
  }
}

function textOf({ subject, id, differences }: SealProblem): string {
  return `${subject} ${id} ${differences.join()}`
}

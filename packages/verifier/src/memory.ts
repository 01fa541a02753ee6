import { hash } from 'node:crypto'

/** Remembers a value for each of the latest names, and never more than so many. */
export class BoundedMap<V> {
  readonly #entries = new Map<string, V>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  get(name: string): V | undefined {
    return this.#entries.get(name)
  }

  set(name: string, value: V): void {
    if (this.#max === 0) return
    if (this.#entries.size >= this.#max && !this.#entries.has(name)) {
      // The one that came first. It need not be the one that was used last: entries live for minutes.
      for (const first of this.#entries.keys()) {
        this.#entries.delete(first)
        break
      }
    }
    this.#entries.set(name, value)
  }

  delete(name: string): void {
    this.#entries.delete(name)
  }

  get size(): number {
    return this.#entries.size
  }
}

/** The hash of a whole token as proofs name it (`ath`, RFC 9449 §4.2). */
export const tokenHash = (token: string): string => hash('sha256', token, 'base64url')

/**
 * The name of a token in memory: a hash of all of it, so that two tokens never share one, and so that a copy of the
 * memory is of no use to anybody. A character for each byte.
 */
export const tokenName = (token: string): string => hash('sha256', token, 'binary')

/**
 * Notices names that come again. Most callers use a token many times; one that comes once should neither take a place in a
 * memory nor push out another. It keeps a part of each name in one fixed place, so a name may be forgotten, and one in four
 * billion is taken for another: then it is remembered a little early.
 */
export class ComesAgain {
  readonly #marks = new Uint32Array(16_384)

  note(name: string): boolean {
    const place = (name.charCodeAt(0) << 6) | (name.charCodeAt(1) >> 2)
    let mark = 0
    for (let at = 2; at < 6; at += 1) mark = ((mark << 8) | name.charCodeAt(at)) >>> 0
    const isAgain = this.#marks[place] === mark
    this.#marks[place] = mark
    return isAgain
  }
}

/** What counts once, such as the `jti` of a proof. */
export interface ReplayMemory {
  /**
   * @param until seconds since 1970 after which it is refused for its age anyway.
   * @returns `replayed` if it was claimed before, and `full` if there is no room: what cannot be remembered is not accepted.
   */
  claim(name: string, until: number, now: number): 'claimed' | 'replayed' | 'full'
}

export function createReplayMemory(max: number): ReplayMemory {
  const claimed = new Map<string, number>()
  let sweptAt = Number.NEGATIVE_INFINITY
  /** Once a second. All that came has about the same lifetime, so those that are over stand first. */
  function sweep(now: number): void {
    if (Math.floor(now) === sweptAt) return
    sweptAt = Math.floor(now)
    for (const [name, until] of claimed) {
      if (until < now) claimed.delete(name)
      else if (claimed.size < max) break
    }
  }
  return {
    claim(name, until, now) {
      sweep(now)
      if (claimed.has(name)) return 'replayed'
      if (claimed.size >= max) return 'full'
      claimed.set(name, until)
      return 'claimed'
    },
  }
}

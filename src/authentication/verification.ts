import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { OAuthError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Attempt } from './failure-limit.ts'
import { secretMatches } from './secret-hash.ts'

/**
 * Checking secrets without paying argon2 each time, and without letting argon2 starve everything else.
 *
 * A verified secret is remembered for a short time, under an HMAC with a key that only this process has,
 * over *length-framed* client and secret: without the frame, two different pairs could make one key
 * (CVE-2026-71326). What is remembered is the hash it was verified against, so that it is worth nothing
 * the moment the registry shows another hash or none.
 *
 * What is not remembered goes through a gate: fewer at once than the thread pool has threads, and bounded
 * queues behind it, because queued argon2 work delays everything else on that pool.
 *
 * Guesses get a quarter of one core, whatever comes and in all workers together: one at a time, and between two of
 * them a pause. A hash does not only take a core, it also empties the caches that all cores share, and those with a
 * token to fetch feel it.
 */
export interface VerificationOptions {
  /** Verifications at once. */
  readonly parallelMax: number
  /** Processes on this machine that share what guesses get. */
  readonly workers: number
  /** Seconds since 1970. */
  readonly now: () => number
  readonly monotonicMilliseconds: () => number
  /** Calls back after so many milliseconds. */
  readonly wait: (milliseconds: number, then: () => void) => void
}

export interface SecretCheck {
  /** From `keyOf`. */
  readonly key: string
  /** What the secret is checked against. */
  readonly hash: string
  readonly secret: string
  /**
   * Whether the client has a secret of the presented id. A guesser does not know one, so those who do are
   * served first, from a queue of their own: a flood of guesses keeps no cold client waiting.
   */
  readonly promising: boolean
}

export type Verify = (hash: string, secret: string) => Promise<boolean>

interface Remembered {
  readonly hash: string
  /** Seconds since 1970. */
  readonly until: number
}

interface Waiting {
  readonly enter: () => void
  readonly turnAway: () => void
}

export class Verification {
  readonly #options: VerificationOptions
  readonly #verify: Verify
  /** Prepared once: made from bytes at every use, the key costs six times the HMAC. */
  readonly #key = createSecretKey(randomBytes(32))
  readonly #remembered = new LRUCache<string, Remembered>({ max: limits.verifiedSecretsMax })
  readonly #underWay = new Map<string, Promise<boolean>>()
  readonly #promising: Waiting[] = []
  readonly #guesses: Waiting[] = []
  #closing = false
  #running = 0
  /** A guess is being checked, or its pause is not over. */
  #guessing = false

  constructor(options: VerificationOptions, verify: Verify = secretMatches) {
    this.#options = options
    this.#verify = verify
  }

  /** Names a client and secret in this process. Never stored, logged or compared anywhere else. */
  keyOf(clientId: string, secret: string): string {
    const frame = Buffer.alloc(4)
    frame.writeUInt32BE(Buffer.byteLength(clientId))
    return createHmac('sha256', this.#key).update(frame).update(clientId).update(secret).digest('base64')
  }

  /** Whether this secret was verified against this hash a short time ago. */
  isRemembered(key: string, hash: string): boolean {
    const remembered = this.#remembered.get(key)
    if (remembered === undefined) return false
    if (remembered.hash === hash && remembered.until > this.#options.now()) return true
    this.#remembered.delete(key)
    return false
  }

  /**
   * Checks a secret against a hash. Those who ask the same at the same time share one verification; the
   * key says who they are, so nobody can share with somebody else (CVE-2026-88010 has the other mistake).
   * @param admit asked once for all who share, before anything is spent; refuses by throwing.
   * @throws OAuthError `verification_queue_full`, or what `admit` throws; UnusableHash.
   */
  verify(check: SecretCheck, admit: () => Promise<Attempt>): Promise<boolean> {
    const shared = `${check.key} ${check.hash}`
    const underWay = this.#underWay.get(shared)
    if (underWay !== undefined) return underWay
    const verification = this.#verifyInTurn(check, admit).finally(() => this.#underWay.delete(shared))
    this.#underWay.set(shared, verification)
    return verification
  }

  /** Turns away who waits and who comes, and resolves when nothing is being checked any more. */
  async close(): Promise<void> {
    this.#closing = true
    for (const { turnAway } of [...this.#promising.splice(0), ...this.#guesses.splice(0)]) turnAway()
    await Promise.allSettled(this.#underWay.values())
  }

  async #verifyInTurn(check: SecretCheck, admit: () => Promise<Attempt>): Promise<boolean> {
    const { key, hash, secret } = check
    const attempt = await admit()
    await this.#enter(check.promising).catch((error: unknown) => {
      attempt.forgive()
      throw error
    })
    const startedAt = this.#options.monotonicMilliseconds()
    try {
      const matches = await this.#verify(hash, secret)
      if (matches) {
        attempt.forgive()
        this.#remembered.set(key, { hash, until: this.#options.now() + limits.verifiedSecretSeconds })
      }
      return matches
    } finally {
      if (!check.promising) this.#pause(this.#options.monotonicMilliseconds() - startedAt)
      this.#running -= 1
      this.#letIn()
    }
  }

  #enter(promising: boolean): Promise<void> {
    const queue = promising ? this.#promising : this.#guesses
    const most = promising ? limits.argon2QueueMax : Math.ceil(limits.guessQueueMax / this.#options.workers)
    return new Promise((enter, reject) => {
      const turnAway = () => reject(new OAuthError('verification_queue_full'))
      if (this.#closing || queue.length >= most) return turnAway()
      queue.push({ enter, turnAway })
      this.#letIn()
    })
  }

  /** As many as there are places for. A place is taken here, before anybody else can arrive. */
  #letIn(): void {
    while (this.#running < this.#options.parallelMax) {
      const next = this.#promising.shift() ?? (this.#guessing ? undefined : this.#nextGuess())
      if (next === undefined) return
      this.#running += 1
      next.enter()
    }
  }

  #nextGuess(): Waiting | undefined {
    const next = this.#guesses.shift()
    this.#guessing = next !== undefined
    return next
  }

  #pause(tookMilliseconds: number): void {
    // Of all the time, each worker has its share of what guesses get.
    const share = limits.guessCoreShare / this.#options.workers
    this.#options.wait(tookMilliseconds * (1 / share - 1), () => {
      this.#guessing = false
      this.#letIn()
    })
  }
}

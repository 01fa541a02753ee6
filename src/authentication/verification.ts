import { hash, randomBytes } from 'node:crypto'
import { boundedCache } from '../lib/bounded-cache.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'
import type { Attempt } from './failure-limit.ts'
import { secretMatches } from './secret-hash.ts'

/**
 * Checks secrets without paying argon2 each time, and without letting argon2 starve everything else.
 *
 * A verified secret is remembered for a short time, under a hash with a key that only this process has, over
 * *length-framed* client and secret: without the frame, two different pairs could make one key (CVE-2026-71326). What
 * is remembered is the hash it was verified against, so it is worth nothing once the registry shows another hash.
 *
 * What is not remembered and has no tag (secret-tag.ts) is hashed. Hashes go through a gate: fewer at once than the
 * thread pool has threads, and a bounded queue behind it, because queued argon2 work delays everything else on that
 * pool.
 */
export interface VerificationOptions {
  /** Hashes at once. */
  readonly parallelMax: number
  /** Seconds since 1970. */
  readonly now: () => number
}

export interface SecretCheck {
  /** From `keyOf`. */
  readonly key: string
  /** What the secret is checked against. */
  readonly hash: string
  readonly secret: string
  /**
   * Whether a token could be issued if the secret is right. A revoked secret, for example, is only hashed while nobody
   * else waits. So an operator sees that it is still used, and no token is delayed.
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
  readonly #key = randomBytes(32).toString('hex')
  readonly #remembered = boundedCache<string, Remembered>(limits.verifiedSecretsMax)
  readonly #underWay = new Map<string, Promise<boolean>>()
  readonly #queue: Waiting[] = []
  #closing = false
  #running = 0

  constructor(options: VerificationOptions, verify: Verify = secretMatches) {
    this.#options = options
    this.#verify = verify
  }

  /**
   * Names a client and secret in this process. Never stored, logged or compared anywhere else, so one hash over the key
   * and both is enough: an HMAC would cost four times as much (RFC 2104 guards against those who see the result).
   */
  keyOf(clientId: string, secret: string): string {
    return hash('sha256', `${this.#key}${clientId.length}:${clientId}${secret}`, 'base64')
  }

  /** Whether this secret was verified against this hash a short time ago. */
  isRemembered(key: string, hash: string): boolean {
    const remembered = this.#remembered.get(key)
    if (remembered === undefined) return false
    if (remembered.hash === hash && remembered.until > this.#options.now()) return true
    this.#remembered.delete(key)
    return false
  }

  remember(key: string, hash: string): void {
    this.#remembered.set(key, { hash, until: this.#options.now() + limits.verifiedSecretSeconds })
  }

  /**
   * Checks a secret against a hash. Those who ask the same at the same time share one hash. The key says who they are,
   * so nobody can share with somebody else (CVE-2026-88010 has the other mistake).
   * @param admit asked once for all who share, before anything is spent. It refuses by throwing.
   * @throws OAuthError `verification_queue_full`, or what `admit` throws; UnusableHash.
   */
  verify(check: SecretCheck, admit: () => Attempt): Promise<boolean> {
    const shared = `${check.key} ${check.hash}`
    const underWay = this.#underWay.get(shared)
    if (underWay !== undefined) return underWay
    const verification = this.#verifyInTurn(check, admit).finally(() => this.#underWay.delete(shared))
    this.#underWay.set(shared, verification)
    return verification
  }

  /** Refuses all that wait and all that come, and resolves when the last hash has ended. */
  async close(): Promise<void> {
    this.#closing = true
    for (const { turnAway } of this.#queue.splice(0)) turnAway()
    await Promise.allSettled(this.#underWay.values())
  }

  async #verifyInTurn(check: SecretCheck, admit: () => Attempt): Promise<boolean> {
    const { key, hash, secret } = check
    const attempt = admit()
    await this.#enter(check.promising).catch((error: unknown) => {
      attempt.forgive()
      throw error
    })
    try {
      const matches = await this.#verify(hash, secret)
      if (matches) {
        attempt.forgive()
        this.remember(key, hash)
      }
      return matches
    } finally {
      this.#running -= 1
      this.#letIn()
    }
  }

  #enter(promising: boolean): Promise<void> {
    const waitingMax = promising ? limits.argon2QueueMax : 0
    return new Promise((enter, reject) => {
      const turnAway = () => reject(new OAuthError('verification_queue_full'))
      if (this.#closing) return turnAway()
      const isFree = this.#running < this.#options.parallelMax
      if (!isFree && this.#queue.length >= waitingMax) return turnAway()
      this.#queue.push({ enter, turnAway })
      this.#letIn()
    })
  }

  /** Starts as many as there are places for. A place is taken here, before another request can arrive. */
  #letIn(): void {
    while (this.#running < this.#options.parallelMax) {
      const next = this.#queue.shift()
      if (next === undefined) return
      this.#running += 1
      next.enter()
    }
  }
}

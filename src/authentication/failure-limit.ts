import { createHmac, randomBytes } from 'node:crypto'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { OAuthError } from '../errors.ts'
import { callerNetwork } from '../lib/network.ts'
import { limits } from '../limits.ts'

/**
 * Failed attempts, counted per client and per address, in front of argon2.
 *
 * A guess takes a point before it is checked and gets it back if it was right, so a thousand at once are
 * as limited as a thousand in a row. Whoever names a secret that the client really has (its id stands in
 * the secret, 47 bits that a guesser does not know) is counted by that secret alone: an attacker can use up
 * a client's points, but cannot lock out the one who holds the secret.
 *
 * What strangers name, clients and addresses, is counted in a fixed number of buckets under a key of this
 * process. That bounds the memory, and treats a client that exists and one that does not in the same way.
 * Secrets have counters of their own, by id, so that no name shares a bucket with one; the registry bounds them.
 */
export interface FailureLimitOptions {
  readonly perClientMax: number
  readonly perAddressMax: number
}

/** Gives the points back. Called when the secret was right, or nothing was checked. */
export type Attempt = { readonly forgive: () => void }

export class FailureLimit {
  readonly #key = randomBytes(16)
  readonly #secrets: RateLimiterMemory
  readonly #clients: RateLimiterMemory
  readonly #addresses: RateLimiterMemory

  constructor(options: FailureLimitOptions) {
    const duration = limits.failureWindowSeconds
    this.#secrets = new RateLimiterMemory({ points: options.perClientMax, duration, keyPrefix: 'secret' })
    this.#clients = new RateLimiterMemory({ points: options.perClientMax, duration, keyPrefix: 'client' })
    this.#addresses = new RateLimiterMemory({ points: options.perAddressMax, duration, keyPrefix: 'address' })
  }

  /**
   * @param knownSecretId the id in the presented secret, if the client has a secret of that id.
   * @throws OAuthError `failures_of_client` or `failures_of_address`, with the seconds to wait.
   */
  async attempt(clientId: string, knownSecretId: string | undefined, address: string): Promise<Attempt> {
    if (knownSecretId !== undefined) {
      await take(this.#secrets, knownSecretId, 'failures_of_client')
      return { forgive: () => void this.#secrets.reward(knownSecretId) }
    }
    const place = this.#bucket(`address ${callerNetwork(address)}`)
    const client = this.#bucket(`client ${clientId}`)
    await take(this.#addresses, place, 'failures_of_address')
    await take(this.#clients, client, 'failures_of_client')
    return {
      forgive: () => {
        void this.#addresses.reward(place)
        void this.#clients.reward(client)
      },
    }
  }

  #bucket(name: string): string {
    const number = createHmac('sha256', this.#key).update(name).digest().readUInt32BE()
    return String(number % limits.failureCountersMax)
  }
}

async function take(
  limiter: RateLimiterMemory,
  key: string,
  reason: 'failures_of_client' | 'failures_of_address',
): Promise<void> {
  try {
    await limiter.consume(key)
  } catch (refused) {
    if (refused instanceof Error) throw refused
    const { msBeforeNext } = refused as RateLimiterRes
    throw new OAuthError(reason, { retryAfterSeconds: Math.max(1, Math.ceil(msBeforeNext / 1000)) })
  }
}

import { createHmac, randomBytes } from 'node:crypto'
import { callerNetwork } from '../lib/network.ts'
import { WindowCounters } from '../lib/window-counters.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'

/**
 * Failed attempts, counted per client and per address. A right secret is recognised before anything is counted, so
 * nobody can lock its holder out.
 *
 * A secret that has to be hashed takes a point before that and gets it back if it was right: so a thousand attempts at
 * once are limited like a thousand in a row. Such points are counted by secret and address together, so that somebody
 * who knows the id of a secret uses up nothing that its holder needs elsewhere.
 *
 * Strangers choose the names and addresses. They are counted in a fixed number of buckets under a key of this process,
 * which bounds the memory and treats a client that exists and one that does not in the same way.
 */
export interface FailureLimitOptions {
  readonly perClientMax: number
  readonly perAddressMax: number
  readonly monotonicMilliseconds: () => number
}

export interface Attempt {
  /** Gives the point back: the secret was right, or nothing was checked. */
  readonly forgive: () => void
}

export class FailureLimit {
  readonly #key = randomBytes(16)
  readonly #secrets: WindowCounters
  readonly #clients: WindowCounters
  readonly #addresses: WindowCounters

  constructor({ perClientMax, perAddressMax, monotonicMilliseconds }: FailureLimitOptions) {
    const counters = (eventsMax: number) =>
      new WindowCounters({
        buckets: limits.failureCountersMax,
        eventsMax,
        windowSeconds: limits.failureWindowSeconds,
        monotonicMilliseconds,
      })
    this.#secrets = counters(perClientMax)
    this.#clients = counters(perClientMax)
    this.#addresses = counters(perAddressMax)
  }

  /**
   * Counts a failure.
   * @throws OAuthError `failures_of_client` or `failures_of_address`, with the seconds to wait, when there were too many.
   */
  fail(clientId: string, address: string): void {
    const network = callerNetwork(address)
    refuse(this.#addresses.take(this.#bucket(`address ${network}`)), 'failures_of_address')
    refuse(this.#clients.take(this.#bucket(`client ${clientId}`)), 'failures_of_client')
  }

  /**
   * Takes a point for a hash that a secret of this id needs.
   * @throws OAuthError `failures_of_client` when too many were wrong.
   */
  attempt(secretId: string, address: string): Attempt {
    const bucket = this.#bucket(`secret ${secretId} ${callerNetwork(address)}`)
    refuse(this.#secrets.take(bucket), 'failures_of_client')
    return { forgive: () => this.#secrets.giveBack(bucket) }
  }

  /**
   * Takes a point of an address for work that a stranger can ask for.
   * @throws OAuthError `failures_of_address` when there were too many failures.
   */
  attemptFrom(address: string): Attempt {
    const bucket = this.#bucket(`address ${callerNetwork(address)}`)
    refuse(this.#addresses.take(bucket), 'failures_of_address')
    return { forgive: () => this.#addresses.giveBack(bucket) }
  }

  #bucket(name: string): number {
    const number = createHmac('sha256', this.#key).update(name).digest().readUInt32BE()
    return number % limits.failureCountersMax
  }
}

function refuse(waitSeconds: number | undefined, reason: 'failures_of_client' | 'failures_of_address'): void {
  if (waitSeconds !== undefined) throw new OAuthError(reason, { retryAfterSeconds: waitSeconds })
}

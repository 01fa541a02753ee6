import type { Pool } from '../database/open.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'
import type { RegisteredKey } from './client.ts'

/** What the registry in the database says, read after it was asked. */
export interface Presence {
  readonly version: number
  /** Undefined when there is no client of that id. */
  readonly client: ClientPresence | undefined
  /** Whether the client has a secret of that id. */
  readonly hasSecret: boolean
}

export interface ClientPresence {
  readonly status: 'active' | 'disabled' | 'deleted'
  /** Seconds since 1970. */
  readonly expiresAt: number | undefined
  readonly hasSecrets: boolean
}

/** The same for keys. */
export interface KeyPresence {
  readonly version: number
  readonly client:
    | (Omit<ClientPresence, 'hasSecrets'> & {
        readonly hasKeys: boolean
        /** Where it publishes its keys. */
        readonly jwksUri: string | undefined
      })
    | undefined
  /** Those of the name that was asked for; all of them if none was. */
  readonly keys: readonly RegisteredKey[]
}

/** A client, and a secret id or the name of a key that is said to be its own. */
export type Pair = readonly [clientId: string, credentialId: string]

export interface LookUpOptions<Answer> {
  readonly pool: Pool
  /** Reads the answers in the order of the pairs. */
  readonly read: (pool: Pool, pairs: readonly Pair[]) => Promise<Answer[]>
  /** Calls back after so many milliseconds. */
  readonly wait: (milliseconds: number, then: () => void) => void
  readonly onAnswer: () => void
  readonly onFault: (error: unknown) => void
}

interface Waiting<Answer> {
  readonly pair: Pair
  readonly resolve: (presence: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Looks in the database, many questions with one read. Guesses end here: a secret whose id is not in memory, and a
 * signature that no key in memory verifies.
 *
 * All who ask within a few milliseconds share one read and get their answers in the same moment. So a guess costs a
 * share of a read and no hash, a flood of them causes no more reads than a trickle, and the time tells nothing about
 * which clients and secrets exist. The queue needs no limit of its own: a process lets in `requestsUnderWayMax`.
 */
export class LookUp<Answer> {
  readonly #options: LookUpOptions<Answer>
  #waiting: Waiting<Answer>[] = []
  #isDue = false
  #reading: Promise<void> | undefined

  constructor(options: LookUpOptions<Answer>) {
    this.#options = options
  }

  /** @throws OAuthError `registry_unavailable` when the database does not answer. */
  ask([clientId, credentialId]: Pair): Promise<Answer> {
    // A longer id cannot be registered. It waits like any other, and asks for an id that does not exist.
    const pair: Pair = [clientId.length > limits.clientIdCharactersMax ? '' : clientId, credentialId]
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pair, resolve, reject })
      if (this.#isDue) return
      this.#isDue = true
      this.#options.wait(limits.lookUpMilliseconds, () => {
        this.#isDue = false
        this.#reading ??= this.#readAll().finally(() => {
          this.#reading = undefined
        })
      })
    })
  }

  /** Resolves when no read is under way. */
  async idle(): Promise<void> {
    await this.#reading
  }

  async #readAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, limits.lookUpsPerReadMax)
      try {
        const presences = await this.#options.read(
          this.#options.pool,
          batch.map(({ pair }) => pair),
        )
        this.#options.onAnswer()
        for (const [index, { resolve }] of batch.entries()) resolve(presences[index] as Answer)
      } catch (error) {
        this.#options.onFault(error)
        const refusal = new OAuthError('registry_unavailable', { cause: error })
        for (const { reject } of batch) reject(refusal)
      }
    }
  }
}

import type { Pool } from '../database/open.ts'
import { OAuthError } from '../errors.ts'
import { limits } from '../limits.ts'
import { readPresences } from './store.ts'

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

/** A client and a secret id that is said to be its own. */
export type Pair = readonly [clientId: string, secretId: string]

export interface LookUpOptions {
  readonly pool: Pool
  /** Calls back after so many milliseconds. */
  readonly wait: (milliseconds: number, then: () => void) => void
  readonly onAnswer: () => void
  readonly onFault: (error: unknown) => void
}

interface Waiting {
  readonly pair: Pair
  readonly resolve: (presence: Presence) => void
  readonly reject: (error: unknown) => void
}

/**
 * Looks in the database, many questions with one read. Guesses end here: a secret whose id is not in memory.
 *
 * All who ask within a few milliseconds share one read and get their answers in the same moment. So a guess costs a
 * share of a read and no hash, a flood of them causes no more reads than a trickle, and the time tells nothing about
 * which clients and secrets exist. The queue needs no limit of its own: a process lets in `requestsUnderWayMax`.
 */
export class LookUp {
  readonly #options: LookUpOptions
  #waiting: Waiting[] = []
  #isDue = false
  #reading: Promise<void> | undefined

  constructor(options: LookUpOptions) {
    this.#options = options
  }

  /** @throws OAuthError `registry_unavailable` when the database does not answer. */
  ask(pair: Pair): Promise<Presence> {
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
        const presences = await readPresences(
          this.#options.pool,
          batch.map(({ pair }) => pair),
        )
        this.#options.onAnswer()
        for (const [index, { resolve }] of batch.entries()) resolve(presences[index] as Presence)
      } catch (error) {
        this.#options.onFault(error)
        const refusal = new OAuthError('registry_unavailable', { cause: error })
        for (const { reject } of batch) reject(refusal)
      }
    }
  }
}

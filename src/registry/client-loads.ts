import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export interface ClientLoadsOptions {
  /** Reads clients into memory. */
  readonly load: (clientIds: readonly string[]) => Promise<void>
  readonly onAnswer: () => void
  readonly onFault: (error: unknown) => void
}

/** Reads clients that are not in memory. Reads that are wanted at the same time share one query. */
export class ClientLoads {
  readonly #options: ClientLoadsOptions
  readonly #wanted = new Map<string, Waiting[]>()
  #loading: Promise<void> | undefined

  constructor(options: ClientLoadsOptions) {
    this.#options = options
  }

  /** @throws OAuthError `registry_unavailable` when the database does not answer. */
  load(clientId: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#wanted.get(clientId)
      if (waiting === undefined) this.#wanted.set(clientId, [{ resolve, reject }])
      else waiting.push({ resolve, reject })
      this.#loading ??= this.#loadWanted()
    })
  }

  /** Resolves when no read is under way. */
  async idle(): Promise<void> {
    await this.#loading
  }

  async #loadWanted(): Promise<void> {
    // All requests that ask in this turn of the loop share the first query.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#wanted.size > 0) {
      const clientIds = [...this.#wanted.keys()].slice(0, limits.registryClientsPerLoadMax)
      const waiting = clientIds.flatMap((clientId) => this.#wanted.get(clientId) ?? [])
      for (const clientId of clientIds) this.#wanted.delete(clientId)
      try {
        await this.#options.load(clientIds)
        this.#options.onAnswer()
        for (const { resolve } of waiting) resolve()
      } catch (error) {
        this.#options.onFault(error)
        const refusal = new OAuthError('registry_unavailable', { cause: error })
        for (const { reject } of waiting) reject(refusal)
      }
    }
    // In the same turn as the last look at what is wanted: a request that asks from now on starts another round.
    this.#loading = undefined
  }
}

import { withDeadline } from '../lib/deadline.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'
import type { TrustTable } from './issuer.ts'

/**
 * Reads the table. It calls `adopt` in the same turn in which it compares versions: a table that was returned would come a
 * turn later, and the registry may have moved on by then. It does not call it when the registry moved on before.
 */
type Read = (adopt: (table: TrustTable) => void) => Promise<void>

/** The trust table in memory. It is small and always asked for as a whole, so it is read and forgotten as a whole. */
export class TrustMemory {
  readonly #read: Read
  #table: TrustTable | undefined
  #reading: Promise<void> | undefined

  constructor(read: Read) {
    this.#read = read
  }

  get now(): TrustTable | undefined {
    return this.#table
  }

  forget(): void {
    this.#table = undefined
  }

  /**
   * Reads the table if it is not there. All who ask at the same time share one read.
   * @throws OAuthError `registry_unavailable` when the database does not answer.
   */
  async get(): Promise<TrustTable> {
    for (let attempt = 0; attempt < limits.decisionsPerRequestMax; attempt += 1) {
      if (this.#table !== undefined) return this.#table
      this.#reading ??= this.#read((table) => {
        this.#table = table
      }).finally(() => {
        this.#reading = undefined
      })
      await withDeadline(
        this.#reading,
        limits.databaseReadTimeoutMilliseconds,
        () => new OAuthError('registry_unavailable'),
      )
    }
    throw new OAuthError('registry_unsettled')
  }

  /** Resolves when no read is under way. */
  async idle(): Promise<void> {
    await this.#reading?.catch(() => {})
  }
}

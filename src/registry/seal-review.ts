import { type Repeated, repeat } from '../lib/repeated.ts'
import type { Registry } from './registry.ts'
import type { SealProblems } from './seal-problems.ts'
import type { SealReads } from './seal-store.ts'

/**
 * Checks all clients, again and again and a few at a time, so that rows that no caller asks for are reported too. No
 * refusal depends on it: what is read for a request is judged at that moment.
 */
export interface SealReviewOptions {
  readonly reads: Pick<SealReads, 'clientIdsAfter'>
  readonly registry: Pick<Registry, 'inspect' | 'trust'>
  readonly problems: Pick<SealProblems, 'endRound'>
  readonly onFault: (error: unknown) => void
}

/** Clients in one look, once a second: a hundred thousand take eight minutes and some milliseconds of each second. */
const clientsPerLook = 200
const lookMilliseconds = 1_000

export class SealReview {
  readonly #options: SealReviewOptions
  readonly #looks: Repeated
  #after = ''

  constructor(options: SealReviewOptions) {
    this.#options = options
    this.#looks = repeat(lookMilliseconds, () => this.#look(), options.onFault)
  }

  async close(): Promise<void> {
    await this.#looks.close()
  }

  async #look(): Promise<void> {
    const { reads, registry, problems } = this.#options
    const clientIds = await reads.clientIdsAfter(this.#after, clientsPerLook)
    // Also without clients: the head is read with them.
    await registry.inspect(clientIds)
    // It stays in memory as long as nothing changes it.
    await registry.trust()
    // Fewer than asked for: these were the last ones.
    const last = clientIds.length < clientsPerLook ? undefined : clientIds.at(-1)
    this.#after = last ?? ''
    if (last === undefined) problems.endRound()
  }
}

import { boundedCache } from '../lib/bounded-cache.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'

/** An identifier that counts once, on all processes together. It is used up in the transaction of the record. */
export interface OnceOnly {
  /** SHA-256 in hex, of the identifier and of whom it belongs to. */
  readonly digest: string
  /** Seconds since 1970. From then on the assertion or proof is refused anyway. */
  readonly expiresAt: number
  /** Why a request is refused whose identifier was used before. */
  readonly reason: RefusalReason
}

/**
 * The identifiers that were used a short time ago, as far as this process knows. The database decides. This memory
 * keeps repeats away from it, so that a caller that repeats one request all the time delays no other commit.
 */
export class SpentIdentifiers {
  readonly #digests = boundedCache<string, true>(limits.spentIdentifiersMax)

  add({ digest }: OnceOnly): void {
    this.#digests.set(digest, true)
  }

  /**
   * The requests that may be committed together, those that must wait for one of them, and those that repeat a used
   * identifier.
   */
  sort<Waiting extends Spending>(waiting: readonly Waiting[]) {
    const first: Waiting[] = []
    const later: Waiting[] = []
    const repeats: { readonly waiting: Waiting; readonly repeated: OnceOnly }[] = []
    const taken = new Set<string>()
    for (const each of waiting) {
      const repeated = each.once.find(({ digest }) => this.#digests.has(digest))
      if (repeated !== undefined) repeats.push({ waiting: each, repeated })
      else if (each.once.some(({ digest }) => taken.has(digest))) later.push(each)
      else {
        first.push(each)
        for (const { digest } of each.once) taken.add(digest)
      }
    }
    return { first, later, repeats }
  }
}

/** A request and the identifiers that it uses up, together or none of them. */
export interface Spending {
  readonly once: readonly OnceOnly[]
}

/** The identifiers of several requests, one after the other: in these places `ledger_commit_once` counts them. */
export function identifiersOf<Waiting extends Spending>(waiting: readonly Waiting[]) {
  return waiting.flatMap((each) => each.once.map((identifier) => ({ waiting: each, identifier })))
}

/** The identifiers as `ledger_commit_once` takes them. */
export function identifiersJson(spent: readonly { readonly identifier: OnceOnly }[]): string {
  return JSON.stringify(spent.map(({ identifier: { digest, expiresAt } }) => [digest, expiresAt]))
}

import { LRUCache } from 'lru-cache'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'

/** An identifier that counts once, on all processes together. It is used up in the transaction of the record. */
export interface OnceOnly {
  /** SHA-256 in hex, of the identifier and of whom it belongs to. */
  readonly digest: string
  /** Seconds since 1970. From then on what it identifies is refused anyway. */
  readonly expiresAt: number
  /** Why a request is refused whose identifier was used before. */
  readonly reason: RefusalReason
}

/**
 * The identifiers that were used a short time ago, as far as this process has heard. The database decides; this keeps
 * repeats away from it, so that somebody who repeats one request all the time delays nobody's commit.
 */
export class SpentIdentifiers {
  readonly #digests = new LRUCache<string, true>({ max: limits.spentIdentifiersMax })

  add({ digest }: OnceOnly): void {
    this.#digests.set(digest, true)
  }

  /** Which may be committed together, which have to wait for one of those, and which repeat what was used before. */
  sort<Waiting extends { readonly once: OnceOnly | undefined }>(waiting: readonly Waiting[]) {
    const first: Waiting[] = []
    const later: Waiting[] = []
    const repeats: Waiting[] = []
    const taken = new Set<string>()
    for (const each of waiting) {
      const digest = each.once?.digest
      if (digest !== undefined && this.#digests.has(digest)) repeats.push(each)
      else if (digest !== undefined && taken.has(digest)) later.push(each)
      else {
        first.push(each)
        if (digest !== undefined) taken.add(digest)
      }
    }
    return { first, later, repeats }
  }
}

/** The identifiers as `ledger_commit_once` takes them. */
export function identifiersJson(spending: readonly { readonly once: OnceOnly | undefined }[]): string {
  return JSON.stringify(spending.map(({ once }) => [once?.digest, once?.expiresAt]))
}

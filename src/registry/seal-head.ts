import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import { isSealedWith, type SealedText, sealText } from '../keys/sealed-text.ts'

/**
 * The head of the sealed registry: the hash of its tree (seal-tree.ts) and a number that only grows, under a MAC whose key
 * is derived from the key-encryption key. Somebody who can write to the database cannot make a head.
 *
 * But a copy of an older head has a right MAC too. So no process goes back to a lower number (`SealMemory`), and a
 * process that starts compares the number with the ledger's records of changes.
 */
export interface SealHead {
  readonly number: number
  /** Every chain of the ledger up to this one is older than the head. */
  readonly chainBefore: number
  /** The number at which an operator last looked through the whole registry and sealed it. */
  readonly reviewed: number
  /** The hash of the root; undefined for an empty registry. */
  readonly root: string | undefined
}

const form = 1
const purpose = 'mintmark/registry-seal/v1'

export function sealHead(
  key: KeyEncryptionKey,
  { number, chainBefore, reviewed, root }: SealHead,
): SealedText {
  return sealText(key, purpose, JSON.stringify([form, number, chainBefore, reviewed, root ?? null]))
}

/**
 * @throws AdministrationError `registry_seal_key_differs` when its key is not among these, `registry_seal_damaged` when
 * nobody who has that key wrote it.
 */
export function openHead(stored: SealedText, keys: readonly KeyEncryptionKey[]): SealHead {
  const { keyEncryptionKeyId } = stored
  const key = keys.find(({ id }) => id === keyEncryptionKeyId)
  if (key === undefined) {
    const atHand = keys.map(({ id }) => id)
    throw new AdministrationError('registry_seal_key_differs', { keyEncryptionKeyId, atHand })
  }
  if (!isSealedWith(key, purpose, stored)) throw new AdministrationError('registry_seal_damaged', {})
  const [, number, chainBefore, reviewed, root] = JSON.parse(stored.content) as [
    form: number,
    number: number,
    chainBefore: number,
    reviewed: number,
    root: string | null,
  ]
  return { number, chainBefore, reviewed, root: root ?? undefined }
}

/**
 * The number of a head that follows a review: the next million. It is above every number that a process may have seen
 * of changes that the database has lost since.
 */
export const reviewedNumber = (latest: number): number => (Math.floor(latest / 1_000_000) + 1) * 1_000_000

/**
 * The latest head that a process has believed. Once the database has shown an older one, or another one with the same
 * number, something was put back. From then on only two heads are believed: the latest one, if it comes back, and one
 * that an operator made after looking through everything. Otherwise the next change would make the old content valid.
 */
export class SealMemory {
  #latest: SealHead | undefined
  #isDoubtful = false

  get latest(): SealHead | undefined {
    return this.#latest
  }

  /** @throws AdministrationError `registry_seal_older` if the head is not to be believed. */
  believe(head: SealHead): SealHead {
    const latest = this.#latest
    if (latest !== undefined && !this.#follows(head, latest)) {
      this.#isDoubtful = true
      throw new AdministrationError('registry_seal_older', { number: head.number, recorded: latest.number })
    }
    this.#isDoubtful = false
    this.#latest = head
    return head
  }

  /** There is no head. @throws AdministrationError `registry_seal_older` if there was one before. */
  missing(): void {
    if (this.#latest === undefined) return
    this.#isDoubtful = true
    throw new AdministrationError('registry_seal_older', { number: 0, recorded: this.#latest.number })
  }

  #follows(head: SealHead, latest: SealHead): boolean {
    if (head.number === latest.number) return head.root === latest.root
    const since = this.#isDoubtful ? head.reviewed : head.number
    return since > latest.number
  }
}

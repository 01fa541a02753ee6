import type { Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKeys } from './key-encryption-key.ts'
import type { KeyProblem, ManifestEntry } from './manifest.ts'
import { readVouchedKeys } from './manifest-store.ts'
import { type KeyDescription, listKeys } from './store.ts'

/** The keys as a command shows them: those that may be believed, and apart from them what is wrong with rows. */
export interface BelievedKeys {
  /** Vouched for, if somebody could verify that. Otherwise all rows as they stand. */
  readonly keys: readonly KeyDescription[]
  readonly isVerified: boolean
  /** Why nobody could. */
  readonly reason: 'no key-encryption key' | 'no manifest' | AdministrationError | undefined
  readonly problems: readonly KeyProblem[]
  /** Rows that are not among `keys`. */
  readonly others: readonly KeyDescription[]
  /** What the manifest says of each key. */
  readonly entries: readonly ManifestEntry[]
}

/** @param atHand the key-encryption keys, if there are any. Without them rows can be read and not verified. */
export async function believedKeys(
  database: Statements,
  atHand: KeyEncryptionKeys | undefined,
): Promise<BelievedKeys> {
  const rows = await listKeys(database)
  const unverified = (reason: BelievedKeys['reason']): BelievedKeys => ({
    keys: rows,
    isVerified: false,
    reason,
    problems: [],
    others: [],
    entries: [],
  })
  if (atHand === undefined) return unverified('no key-encryption key')
  try {
    const { keys, manifest, problems } = await readVouchedKeys(database, atHand)
    if (manifest === undefined) return unverified('no manifest')
    const vouched = new Set(keys.map(({ kid }) => kid))
    const others = rows.filter(({ kid }) => !vouched.has(kid))
    return { keys, isVerified: true, reason: undefined, problems, others, entries: manifest.entries }
  } catch (error) {
    if (error instanceof AdministrationError) return unverified(error)
    throw error
  }
}

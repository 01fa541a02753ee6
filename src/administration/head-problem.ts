import type { Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { readVouchedKeys } from '../keys/manifest-store.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import { openHead, type SealHead } from '../registry/seal-head.ts'
import { currentHead, readHead, recordedSeal } from '../registry/seal-store.ts'

/** The problems of the head of a sealed registry that can be repaired by sealing it again. */
export type HeadProblem =
  | 'registry_seal_missing'
  | 'registry_seal_damaged'
  | 'registry_seal_older'
  /** Its key-encryption key was given up (`keys abandon`). */
  | 'registry_seal_key_differs'

/** The highest number that the head or the ledger tells of. */
export async function latestNumber(database: Statements, keys: readonly KeyEncryptionKey[]): Promise<number> {
  const head = await readableHead(database, keys)
  const recorded = await recordedSeal(database, 0)
  return Math.max(head?.number ?? 0, recorded?.number ?? 0)
}

/** The head, as far as its key is at hand. It may be older than one that was there before. */
export async function readableHead(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
): Promise<SealHead | undefined> {
  const stored = await readHead(database)
  try {
    return stored === undefined ? undefined : openHead(stored, keys)
  } catch (error) {
    if (!(error instanceof AdministrationError)) throw error
    if (error.code === 'registry_seal_damaged' || (await isGivenUp(database, keys, error))) return undefined
    throw error
  }
}

/**
 * The head is under a key that is not at hand, and the signing keys are vouched for under one that is: that is so after
 * `keys abandon`. Anybody else has the wrong key at hand, and must not seal with it.
 */
async function isGivenUp(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
  { code }: AdministrationError,
): Promise<boolean> {
  if (code !== 'registry_seal_key_differs') return false
  try {
    return (await readVouchedKeys(database, keys)).manifest !== undefined
  } catch (error) {
    if (!(error instanceof AdministrationError)) throw error
    return false
  }
}

export async function headProblemOf(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
): Promise<HeadProblem | undefined> {
  try {
    return (await currentHead(database, keys)) === undefined ? 'registry_seal_missing' : undefined
  } catch (error) {
    if (!(error instanceof AdministrationError)) throw error
    if (error.code === 'registry_seal_damaged' || error.code === 'registry_seal_older') return error.code
    if (await isGivenUp(database, keys, error)) return 'registry_seal_key_differs'
    throw error
  }
}

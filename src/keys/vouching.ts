import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import type { KeyEncryptionKeys } from './key-encryption-key.ts'
import {
  findOpening,
  type ManifestMark,
  readVouchedKeys,
  recordedManifest,
  type TouchedKey,
  type VouchedKeys,
  writeManifest,
} from './manifest-store.ts'
import { type KeyDescription, listKeys } from './store.ts'

/**
 * The keys that may be believed, in the transaction of a change. A change of keys has the key-encryption key, and first
 * adds to the manifest what is missing in it:
 *
 * - all keys, where there is no manifest yet: the database is from a release that had none;
 * - a key that a release without manifests made beside this one: it is newer than all others, and it opens;
 * - a revocation that somebody wrote by hand.
 *
 * @param isOver whether a key has ended. Such a key only takes away, so it need not open.
 * @param onFirst called with a manifest that has no record yet: the first one, of no keys. Every manifest gets one.
 * @param onRevoked called with each key that was revoked by hand, once: the next one may have to take over.
 */
export async function vouchedKeys(
  transaction: Queryable,
  records: ChangeRecords,
  keys: KeyEncryptionKeys,
  isOver: (key: KeyDescription) => boolean,
  onRevoked: (kid: string) => void = () => {},
  onFirst: (mark: ManifestMark) => void = () => {},
): Promise<readonly KeyDescription[]> {
  const before = await readVouchedKeys(transaction, keys)
  const found = await findUnvouched(transaction, before, keys, isOver)
  if (found.length === 0 && before.newlyRevoked.length === 0 && before.manifest !== undefined)
    return before.keys
  const mark = await writeManifest(transaction, keys, found)
  for (const kid of before.newlyRevoked) {
    records.add('key', 'revoked', { kid }, [], { ...mark, by_hand: true })
    onRevoked(kid)
  }
  const kids = found.map(({ kid }) => kid)
  if (found.length > 0) records.add('key', 'vouched', {}, [], { ...mark, kids })
  if (records.all.length === 0) onFirst(mark)
  return (await readVouchedKeys(transaction, keys)).keys
}

async function findUnvouched(
  transaction: Queryable,
  { manifest, keys: vouched, problems }: VouchedKeys,
  keys: KeyEncryptionKeys,
  isOver: (key: KeyDescription) => boolean,
): Promise<TouchedKey[]> {
  const rows = await listKeys(transaction)
  if (manifest === undefined) {
    const { number: recorded } = await recordedManifest(transaction, 0)
    if (recorded > 0) throw new AdministrationError('key_manifest_older', { number: 0, recorded })
    const opening = await findOpening(transaction, keys)
    return rows
      .filter((key) => isOver(key) || opening.has(key.kid))
      .map(({ kid }) => ({ kid, mayBeClosed: !opening.has(kid) }))
  }
  const unknown = new Set(problems.flatMap(({ kid, problem }) => (problem === 'key_unknown' ? [kid] : [])))
  if (unknown.size === 0) return []
  const opening = await findOpening(transaction, keys)
  const newest = (algorithm: string): number =>
    Math.max(0, ...vouched.filter((key) => key.algorithm === algorithm).map(({ generation }) => generation))
  return rows
    .filter((key) => unknown.has(key.kid) && opening.has(key.kid) && key.revokedAt === undefined)
    .filter((key) => key.generation > newest(key.algorithm))
    .map(({ kid }) => ({ kid }))
}

import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import {
  addKey,
  type KeyChange,
  note,
  ofAlgorithm,
  overAt,
  plannedSchedule,
  type RotationContext,
} from './key-change.ts'
import type { KeyEncryptionKeys } from './key-encryption-key.ts'
import { type ManifestMark, readVouchedKeys, writeManifest } from './manifest-store.ts'
import { planTakeover } from './schedule.ts'
import { waitingKey } from './state.ts'
import { type KeyDescription, updateMoments } from './store.ts'
import { vouchedKeys } from './vouching.ts'

/** After a revocation the next key takes over. */

/**
 * The keys that may be believed (`vouchedKeys`), after the next keys took over from those that were revoked by hand or by
 * a command without the key-encryption key. Every change of keys begins with this: the first one that finds such a
 * revocation writes it into the manifest, and no later one finds it again.
 * @param onFirst called with a manifest that has no record yet.
 */
export async function settledKeys(
  context: RotationContext,
  transaction: Queryable,
  records: ChangeRecords,
  atHand: KeyEncryptionKeys,
  now: number,
  onFirst?: (mark: ManifestMark) => void,
): Promise<readonly KeyDescription[]> {
  const revoked: string[] = []
  const onRevoked = (kid: string) => revoked.push(kid)
  const isOver = overAt(context, now)
  let keys = await vouchedKeys(transaction, records, atHand, isOver, onRevoked, onFirst)
  for (const kid of revoked) {
    const key = keys.find((each) => each.kid === kid)
    const successor = key && (await takeOver(context, transaction, keys, key, now))
    if (successor === undefined) continue
    const mark = await writeManifest(transaction, atHand, [successor])
    note(records, 'promoted', successor, mark)
    // Another one that was revoked needs no second key.
    keys = (await readVouchedKeys(transaction, atHand)).keys
  }
  return keys
}

/**
 * Lets the next key take over from one that is revoked: the key that waits, or one that is created on the spot. The
 * caller writes the manifest.
 * @param all every key, as it was before this revocation or after it.
 * @returns undefined if others sign without a gap as they were to.
 */
export async function takeOver(
  context: RotationContext,
  transaction: Queryable,
  all: readonly KeyDescription[],
  { kid, algorithm }: KeyDescription,
  now: number,
): Promise<KeyChange | undefined> {
  const alike = ofAlgorithm(all, algorithm).map((key) =>
    key.kid === kid ? { ...key, revokedAt: undefined } : key,
  )
  const key = alike.find((each) => each.kid === kid)
  if (key === undefined) return undefined
  const publishedAt = waitingKey(alike, now)?.publishedAt ?? now
  const schedule = await plannedSchedule(context, transaction, publishedAt)
  const takeover = planTakeover(alike, key, schedule, now)
  if (takeover === undefined) return undefined
  const { next: waiting, moments } = takeover
  if (waiting !== undefined) {
    await updateMoments(transaction, waiting.kid, moments)
    return { ...waiting, moments }
  }
  const added = await addKey(context, transaction, all, algorithm, moments)
  if (added === undefined) throw new AdministrationError('key_made_meanwhile', { algorithm })
  return added
}

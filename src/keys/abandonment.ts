import type { Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import {
  addKey,
  agreedNow,
  type KeyChange,
  note,
  ofAlgorithm,
  overAt,
  type RotationContext,
} from './key-change.ts'
import { openManifest } from './manifest.ts'
import { findOpening, replaceManifest } from './manifest-store.ts'
import { leadSeconds, planTakeover } from './schedule.ts'
import type { KeyEncryptionKey } from './seal.ts'
import { signingKeyAt } from './state.ts'
import { describe, type KeyDescription, readStored, updateRevocation } from './store.ts'

/**
 * The key-encryption key is lost. The signing keys that it sealed never open again, and nothing proves that they are
 * right: the manifest is under the lost key too, so anybody may have written a row. So they end, as if they were
 * revoked, and the first keys under another key-encryption key take over at once. The sealed keys stay in their rows,
 * in case the key-encryption key is found.
 */
export interface Abandonment {
  /** Keys that were published or waited, and end. */
  readonly abandoned: readonly KeyDescription[]
  /** The key-encryption keys that are missing. */
  readonly lostKeyIds: readonly string[]
  /** Those at hand. */
  readonly atHandIds: readonly string[]
  /** Keys that take over; empty for a plan, and where nothing signed. */
  readonly made: readonly KeyChange[]
  /** Seconds since 1970: from then on no relying service that keeps to the max-age accepts tokens of abandoned keys. */
  readonly refusedFrom: number
}

/**
 * What would end.
 * @param atHand none where a file with another one is yet to be made.
 * @throws AdministrationError `key_encryption_key_not_lost` if everything opens.
 */
export async function planAbandonment(
  context: RotationContext,
  atHand: readonly KeyEncryptionKey[],
): Promise<Abandonment> {
  return await findLost(context, context.database.prisma, atHand, context.clock.nowSeconds())
}

/** Ends the keys that do not open, and starts with the key-encryption key at hand. */
export async function abandonKeys(context: RotationContext): Promise<Abandonment> {
  return await changeRegistry(context, async (transaction, records) => {
    const now = await agreedNow(context, transaction)
    const atHand = await context.keyEncryptionKeys()
    const plan = await findLost(context, transaction, atHand, now)
    const { abandoned } = plan
    const { rows } = await readStored(transaction)
    const lost = new Set(abandoned.map(({ kid }) => kid))
    for (const { kid } of abandoned) await updateRevocation(transaction, kid, now)
    const left = rows.map(describe).map((key) => (lost.has(key.kid) ? { ...key, revokedAt: now } : key))
    const made: KeyChange[] = []
    for (const algorithm of new Set(abandoned.map((key) => key.algorithm))) {
      const before = rows.map(describe).filter((key) => key.algorithm === algorithm)
      const gone = signingKeyAt(before, context.schedule, now)
      if (gone === undefined || !lost.has(gone.kid)) continue
      const opening = ofAlgorithm(before, algorithm).filter((key) => key === gone || !lost.has(key.kid))
      const takeover = planTakeover(opening, gone, context.schedule, now)
      // A key that waits and opens has its own turn.
      if (takeover === undefined || takeover.next !== undefined) continue
      const added = await addKey(context, transaction, left, algorithm, takeover.moments)
      if (added !== undefined) made.push(added)
    }
    const mark = await replaceManifest(transaction, atHand, overAt(context, now))
    for (const key of abandoned) {
      const more = { ...mark, key_encryption_key_id: key.keyEncryptionKeyId }
      note(
        records,
        'abandoned',
        { ...key, moments: key },
        { ...more, relying_services_refuse_from: plan.refusedFrom },
      )
    }
    for (const change of made) note(records, 'promoted', change, mark)
    return { ...plan, made }
  })
}

async function findLost(
  context: RotationContext,
  database: Statements,
  atHand: readonly KeyEncryptionKey[],
  now: number,
): Promise<Abandonment> {
  const { rows, manifest } = await readStored(database)
  const opening = await findOpening(database, atHand)
  const isOver = overAt(context, now)
  const ids = new Set(atHand.map(({ id }) => id))
  const closed = rows.map(describe).filter((key) => !opening.has(key.kid) && !isOver(key))
  const isManifestLost = manifest !== undefined && !ids.has(manifest.keyEncryptionKeyId)
  // If the key-encryption key exists, a damaged row must not be abandoned.
  if (manifest !== undefined && !isManifestLost) openManifest(manifest, atHand)
  const abandoned = isManifestLost ? closed : closed.filter((key) => !ids.has(key.keyEncryptionKeyId))
  if (!isManifestLost && abandoned.length === 0) {
    throw new AdministrationError('key_encryption_key_not_lost', { atHand: [...ids] })
  }
  const lostKeyIds = new Set(abandoned.map((key) => key.keyEncryptionKeyId))
  if (isManifestLost) lostKeyIds.add(manifest.keyEncryptionKeyId)
  return {
    abandoned,
    lostKeyIds: [...lostKeyIds],
    atHandIds: [...ids],
    made: [],
    refusedFrom: now + leadSeconds(context.schedule),
  }
}

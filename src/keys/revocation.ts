import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import {
  addKey,
  databaseTime,
  type KeyChange,
  note,
  ofAlgorithm,
  overAt,
  plannedSchedule,
  type RotationContext,
} from './key-change.ts'
import type { KeyEncryptionKeys } from './key-encryption-key.ts'
import { readVouchedKeys, writeManifest } from './manifest-store.ts'
import { leadSeconds, planTakeover, type Takeover } from './schedule.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import { type ScheduleSettings, waitingKey } from './state.ts'
import { type KeyDescription, listKeys, updateMoments, updateRevocation } from './store.ts'
import { vouchedKeys } from './vouching.ts'

/** Revocation: a key no longer signs, and the next one takes over without a gap. */

export interface Revocation {
  readonly kid: string
  /** False when it was revoked before. */
  readonly revoked: boolean
  /** Whether somebody had removed the revocation from the row, and this wrote it back. */
  readonly restored: boolean
  /** The key whose turn came early because of it; undefined if others sign without a gap as they were to. */
  readonly successor: KeyChange | undefined
  /** Seconds since 1970: from then on no relying service that keeps to the JWK Set's max-age accepts its tokens. */
  readonly refusedFrom: number
}

/**
 * Revokes a key: it signs nothing from the moment this returns. The next one takes over, as soon as every cache has
 * seen it if another one can sign until then, and at once if not. By the database's clock, because a machine whose own
 * clock is wrong must be able to revoke a key.
 */
export async function revokeKey(context: RotationContext, kid: string): Promise<Revocation> {
  return await changeRegistry<Revocation>(context, async (transaction, records) => {
    const now = Math.floor((await databaseTime(context, transaction)).databaseSeconds)
    const atHand = await openingKeys(context, transaction)
    const all =
      atHand === undefined
        ? await listKeys(transaction)
        : await vouchedKeys(transaction, records, atHand, overAt(context, now))
    // A row that is not in the manifest can be revoked too.
    const key = all.find((each) => each.kid === kid) ?? (await findRow(transaction, kid))
    const schedule = await plannedSchedule(context, transaction, now)
    const refusedFrom = (key.revokedAt ?? now) + leadSeconds(schedule)
    if (key.revokedAt !== undefined) {
      const restored = await restoreRevocation(transaction, records, key)
      return { kid, revoked: false, restored, successor: undefined, refusedFrom }
    }
    await updateRevocation(transaction, kid, now)
    const alike = ofAlgorithm(all, key.algorithm)
    const takeover = planTakeover(alike, key, await scheduleFor(context, transaction, alike, now), now)
    const successor =
      takeover === undefined || atHand === undefined
        ? undefined
        : await promote(context, transaction, all, key.algorithm, takeover)
    const touched = [{ kid, revokedAt: now }, ...(successor === undefined ? [] : [successor])]
    const mark = atHand === undefined ? undefined : await writeManifest(transaction, atHand, touched)
    note(records, 'revoked', { ...key, moments: key }, { ...mark, relying_services_refuse_from: refusedFrom })
    if (successor !== undefined) note(records, 'promoted', successor, mark)
    return { kid, revoked: true, restored: false, successor, refusedFrom }
  })
}

/** Writes back a revocation that somebody removed from the row. The manifest already has it. */
async function restoreRevocation(
  transaction: Queryable,
  records: ChangeRecords,
  key: KeyDescription,
): Promise<boolean> {
  const row = (await listKeys(transaction)).find(({ kid }) => kid === key.kid)
  if (row === undefined || row.revokedAt !== undefined) return false
  await updateRevocation(transaction, key.kid, key.revokedAt as number)
  note(records, 'revoked', { ...key, moments: key }, { restored: true })
  return true
}

/**
 * The key-encryption keys, if they open the manifest. A key can also be revoked without them: then a service that has
 * them writes the manifest and lets the next key take over.
 */
async function openingKeys(
  context: RotationContext,
  transaction: Queryable,
): Promise<KeyEncryptionKeys | undefined> {
  try {
    const keys = await context.keyEncryptionKeys()
    await readVouchedKeys(transaction, keys)
    return keys
  } catch (error) {
    if (error instanceof AdministrationError) return undefined
    throw error
  }
}

async function findRow(transaction: Queryable, kid: string): Promise<KeyDescription> {
  const row = (await listKeys(transaction)).find((each) => each.kid === kid)
  if (row === undefined) throw new AdministrationError('key_not_found', { kid })
  return row
}

/** Lets the next keys take over from those that were revoked by hand, or by a command without the key-encryption key. */
export async function replaceRevoked(
  context: RotationContext,
  transaction: Queryable,
  records: ChangeRecords,
  atHand: KeyEncryptionKeys,
  keys: readonly KeyDescription[],
  revoked: readonly string[],
  now: number,
): Promise<void> {
  for (const key of keys.filter(({ kid }) => revoked.includes(kid))) {
    const before = { ...key, revokedAt: undefined }
    const alike = ofAlgorithm(keys, key.algorithm).map((each) => (each === key ? before : each))
    const schedule = await scheduleFor(context, transaction, alike, now)
    const takeover = planTakeover(alike, before, schedule, now)
    if (takeover === undefined) continue
    const successor = await promote(context, transaction, keys, key.algorithm, takeover)
    const mark = await writeManifest(transaction, atHand, [successor])
    note(records, 'promoted', successor, mark)
  }
}

async function scheduleFor(
  context: RotationContext,
  transaction: Queryable,
  alike: readonly KeyDescription[],
  now: number,
): Promise<ScheduleSettings> {
  return await plannedSchedule(context, transaction, waitingKey(alike, now)?.publishedAt ?? now)
}

/** Brings the next key's turn forward: of the one that waits, or of one made on the spot. */
async function promote(
  context: RotationContext,
  transaction: Queryable,
  all: readonly KeyDescription[],
  algorithm: SigningAlgorithm,
  takeover: Takeover<KeyDescription>,
): Promise<KeyChange> {
  const { next: waiting, moments } = takeover
  if (waiting !== undefined) {
    await updateMoments(transaction, waiting.kid, moments)
    return { ...waiting, moments }
  }
  const added = await addKey(context, transaction, all, algorithm, moments)
  if (added === undefined) throw new AdministrationError('key_made_meanwhile', { algorithm })
  return added
}

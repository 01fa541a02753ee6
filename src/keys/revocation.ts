import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import { databaseTime, type KeyChange, note, plannedSchedule, type RotationContext } from './key-change.ts'
import type { KeyEncryptionKeys } from './key-encryption-key.ts'
import { readVouchedKeys, writeManifest } from './manifest-store.ts'
import { leadSeconds } from './schedule.ts'
import { type KeyDescription, listKeys, updateRevocation } from './store.ts'
import { settledKeys, takeOver } from './takeover.ts'

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
        : await settledKeys(context, transaction, records, atHand, now)
    // A row that is not in the manifest can be revoked too.
    const key = all.find((each) => each.kid === kid) ?? (await findRow(transaction, kid))
    const schedule = await plannedSchedule(context, transaction, now)
    const refusedFrom = (key.revokedAt ?? now) + leadSeconds(schedule)
    if (key.revokedAt !== undefined) {
      const restored = await restoreRevocation(transaction, records, key)
      return { kid, revoked: false, restored, successor: undefined, refusedFrom }
    }
    await updateRevocation(transaction, kid, now)
    const successor = atHand === undefined ? undefined : await takeOver(context, transaction, all, key, now)
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

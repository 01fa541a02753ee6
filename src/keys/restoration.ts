import type { Queryable } from '../database/open.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import {
  agreedNow,
  freeGeneration,
  type KeyChange,
  note,
  overAt,
  type RotationContext,
  sealingKey,
} from './key-change.ts'
import type { KnownKeys } from './keyring.ts'
import {
  type LoadedKey,
  readVouchedKeys,
  type TouchedKey,
  type VouchedKeys,
  writeManifest,
} from './manifest-store.ts'
import type { KeyMoments } from './state.ts'
import { type KeyDescription, mayRevoke, storeKey, updateMoments, updateRevocation } from './store.ts'

/**
 * Writes back what the database has lost of the keys, in a failover to a standby that was behind or with an older backup.
 * A process that runs knows it: tokens of a lost key are in use, and a process that starts would neither publish nor
 * revoke that key. Nothing is taken from a row here, so somebody who can write rows and has no key-encryption key gains
 * nothing by putting older ones back.
 *
 * A key whose row was deleted is not lost: the manifest still has it, and a row can take away.
 */
export async function restoreKeys(context: RotationContext, known: KnownKeys): Promise<readonly string[]> {
  return await changeRegistry(context, async (transaction, records) => {
    const atHand = await context.keyEncryptionKeys()
    const isOver = overAt(context, await agreedNow(context, transaction))
    const stored = await readVouchedKeys(transaction, atHand)
    // A manifest that is gone altogether was removed by somebody.
    if (stored.manifest === undefined) return []
    const isOlder = stored.manifest.number < known.number
    const entries = new Set(stored.manifest.entries.map(({ kid }) => kid))
    const missing = known.keys.filter((key) => !entries.has(key.kid) && !isOver(key))
    // Another process was faster.
    if (!isOlder && missing.length === 0) return []
    const changed = isOlder ? await restoreChanges(transaction, known, stored) : []
    const restored: KeyChange[] = []
    for (const key of missing) {
      const sealedWith = sealingKey(stored.keys, atHand)
      restored.push(...(await restoreKey(transaction, key, sealedWith)))
    }
    const touched = [...changed, ...restored]
    const mark = await writeManifest(transaction, atHand, touched, known.number)
    noteRestored(records, known, touched, mark)
    return touched.map(({ kid }) => kid)
  })
}

/** @returns nothing if the key is not open in memory, or its row is there and nobody vouches for it. */
async function restoreKey(
  transaction: Queryable,
  { privateKey, ...key }: LoadedKey,
  sealedWith: Parameters<typeof storeKey>[1],
): Promise<KeyChange[]> {
  if (privateKey === undefined) return []
  const { kid, algorithm } = key
  // The database may have made another key of this generation since.
  const generation = await freeGeneration(transaction, algorithm, key.generation)
  const isStored = await storeKey(transaction, sealedWith, { ...key, generation }, privateKey)
  return isStored ? [{ kid, algorithm, generation, moments: key }] : []
}

/** Lost revocations and early turns of keys that the database has. */
async function restoreChanges(
  transaction: Queryable,
  known: KnownKeys,
  stored: VouchedKeys,
): Promise<TouchedKey[]> {
  const isAllowed = await mayRevoke(transaction)
  const touched: TouchedKey[] = []
  for (const key of stored.keys) {
    const knownKey = known.keys.find(({ kid }) => kid === key.kid)
    if (knownKey === undefined) continue
    const { kid } = key
    const revokedAt = key.revokedAt ?? knownKey.revokedAt
    if (revokedAt !== undefined) {
      if (key.revokedAt !== undefined) continue
      // Without the right, the manifest says it. That is what counts.
      if (isAllowed) await updateRevocation(transaction, kid, revokedAt)
      touched.push({ kid, revokedAt })
    } else if (!isSameTurn(key, knownKey)) {
      await updateMoments(transaction, kid, knownKey)
      touched.push({ kid, moments: knownKey })
    }
  }
  return touched
}

function isSameTurn(one: KeyMoments, other: KeyMoments): boolean {
  return (['publishedAt', 'signsFrom', 'signsUntil', 'publishedUntil'] as const).every(
    (moment) => one[moment] === other[moment],
  )
}

/** Every manifest has a record, also one that says nothing new: its number is what processes that start compare. */
function noteRestored(
  records: ChangeRecords,
  known: KnownKeys,
  touched: readonly TouchedKey[],
  mark: Awaited<ReturnType<typeof writeManifest>>,
): void {
  if (touched.length === 0) records.add('key', 'restored', {}, [], mark)
  for (const { kid, revokedAt } of touched) {
    const key = known.keys.find((each) => each.kid === kid) as KeyDescription
    if (revokedAt === undefined) note(records, 'restored', { ...key, moments: key }, mark)
    else note(records, 'revoked', { ...key, moments: key }, { ...mark, restored: true })
  }
}

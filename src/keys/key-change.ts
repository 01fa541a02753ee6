import { databaseNow } from '../database/clock.ts'
import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import type { ChangeContext } from '../ledger/change-store.ts'
import type { OutcomeOf } from '../ledger/record.ts'
import { clockToleranceSeconds, offSeconds } from '../lib/clock-guard.ts'
import type { KeyEncryptionKeySource, KeyEncryptionKeys } from './key-encryption-key.ts'
import type { KeyEncryptionKey } from './seal.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import { isOver, type KeyMoments, type ScheduleSettings } from './state.ts'
import { createKey, type KeyDescription, listKeys } from './store.ts'
import { longerCachesEndAt } from './verifier-store.ts'

/** What every change of the signing keys has in common. */

export interface RotationContext extends ChangeContext {
  readonly schedule: ScheduleSettings
  /** Seconds since the command began. Absent: the service itself makes the change. */
  readonly elapsedSeconds?: () => number
  /** Called when a key is created or its moments change: the manifest must be written too. */
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  /** The keys that exist already, for a command that only shows. Absent: what it shows is not verified. */
  readonly keysAtHand?: () => KeyEncryptionKeys | undefined
}

export interface KeyChange {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly generation: number
  readonly moments: KeyMoments
}

export const overAt =
  ({ schedule }: RotationContext, now: number) =>
  (key: KeyDescription): boolean =>
    isOver(key, schedule, now)

export async function databaseTime(context: RotationContext, transaction: Queryable) {
  const startedAt = context.clock.monotonicMilliseconds()
  const databaseSeconds = await databaseNow(transaction)
  const elapsedSeconds = (context.clock.monotonicMilliseconds() - startedAt) / 1_000
  return { databaseSeconds, elapsedSeconds }
}

/** The current time, if the database agrees. A schedule from a wrong clock would be wrong for months. */
export async function agreedNow(context: RotationContext, transaction: Queryable): Promise<number> {
  const { databaseSeconds, elapsedSeconds } = await databaseTime(context, transaction)
  const off = offSeconds(context.clock.nowMilliseconds() / 1_000, databaseSeconds, elapsedSeconds)
  const tolerance = clockToleranceSeconds(context.schedule.clockSkewSeconds)
  if (Math.abs(off) > tolerance) throw clockDisagrees(off, tolerance)
  return context.clock.nowSeconds()
}

/**
 * The schedule to plan with. Caches may hold sets that were served with a longer max-age than the one of now: for as long
 * as they do, that counts.
 * @param publishedAt when the key that waits was published; now, for a key that is created.
 */
export async function plannedSchedule(
  { schedule }: RotationContext,
  transaction: Queryable,
  publishedAt: number,
): Promise<ScheduleSettings> {
  const endAt = (await longerCachesEndAt(transaction, schedule.jwksMaxAgeSeconds)) ?? 0
  return { ...schedule, jwksMaxAgeSeconds: Math.max(schedule.jwksMaxAgeSeconds, endAt - publishedAt) }
}

export function clockDisagrees(
  offSeconds: number,
  toleranceSeconds: number,
): AdministrationError<'clock_disagrees'> {
  return new AdministrationError('clock_disagrees', { offSeconds, toleranceSeconds })
}

export async function addKey(
  context: RotationContext,
  transaction: Queryable,
  keys: readonly KeyDescription[],
  algorithm: SigningAlgorithm,
  moments: KeyMoments,
): Promise<KeyChange | undefined> {
  const generation = await freeGeneration(
    transaction,
    algorithm,
    nextGeneration(ofAlgorithm(keys, algorithm)),
  )
  const key = sealingKey(keys, await context.keyEncryptionKeys())
  const kid = await createKey(transaction, key, algorithm, generation, moments)
  return kid === undefined ? undefined : { kid, algorithm, generation, moments }
}

/** A generation cannot be used twice, even if the earlier row is not in the manifest. */
export async function freeGeneration(
  transaction: Queryable,
  algorithm: SigningAlgorithm,
  wanted: number,
): Promise<number> {
  const taken = new Set(ofAlgorithm(await listKeys(transaction), algorithm).map((each) => each.generation))
  let generation = wanted
  while (taken.has(generation)) generation += 1
  return generation
}

/**
 * What a new key is sealed with: the key-encryption key that seals the newest one. Only a rewrap (rewrap.ts) changes to
 * another key-encryption key. So a replica that does not have the new one yet can open every key that is made before
 * the rewrap, and nothing is sealed with the old one after it.
 */
export function sealingKey(
  keys: readonly Pick<KeyDescription, 'publishedAt' | 'keyEncryptionKeyId' | 'revokedAt'>[],
  atHand: KeyEncryptionKeys,
): KeyEncryptionKey {
  // A key that was abandoned is sealed with a key-encryption key that nobody has (abandonment.ts).
  const isAtHand = (id: string): boolean => atHand.some((each) => each.id === id)
  const [newest] = keys
    .filter((key) => key.revokedAt === undefined || isAtHand(key.keyEncryptionKeyId))
    .toSorted((one, other) => other.publishedAt - one.publishedAt)
  if (newest === undefined) return atHand[0]
  const key = atHand.find(({ id }) => id === newest.keyEncryptionKeyId)
  if (key !== undefined) return key
  throw new AdministrationError('key_encryption_key_differs', {
    kid: undefined,
    keyEncryptionKeyId: newest.keyEncryptionKeyId,
    atHand: atHand.map(({ id }) => id),
    source: atHand[0].source,
  })
}

export function ofAlgorithm(keys: readonly KeyDescription[], algorithm: SigningAlgorithm): KeyDescription[] {
  return keys.filter((key) => key.algorithm === algorithm)
}

export function nextGeneration(keys: readonly KeyDescription[]): number {
  return Math.max(0, ...keys.map(({ generation }) => generation)) + 1
}

export function note(
  records: ChangeRecords,
  outcome: OutcomeOf<'key'>,
  { kid, algorithm, generation, moments }: KeyChange,
  more: Readonly<Record<string, unknown>> = {},
): void {
  const { publishedAt, signsFrom, signsUntil, publishedUntil } = moments
  records.add('key', outcome, { kid }, [], {
    algorithm,
    generation,
    published_at: publishedAt,
    signs_from: signsFrom,
    signs_until: signsUntil,
    published_until: publishedUntil,
    ...more,
  })
}

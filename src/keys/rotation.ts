import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import { type ChangeContext, changeRegistry } from '../ledger/change-store.ts'
import type { OutcomeOf } from '../ledger/record.ts'
import { clockToleranceSeconds, offSeconds } from '../lib/clock-guard.ts'
import type { KeyEncryptionKeySource, KeyEncryptionKeys } from './key-encryption-key.ts'
import {
  assumedVerifierCacheSeconds,
  leadSeconds,
  nextPublicationAt,
  planEarly,
  planKey,
  planTakeover,
  type Takeover,
} from './schedule.ts'
import type { KeyEncryptionKey } from './seal.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import { type KeyMoments, latestKey, type ScheduleSettings, waitingKey } from './state.ts'
import { createKey, databaseNow, type KeyDescription, listKeys, updateMoments } from './store.ts'
import { lastFetchAt } from './verifier-store.ts'

/**
 * Rotation: the schedule's word put into the database. Any replica may do it, whenever it looks and finds that
 * something is due; there is no leader and no clock that strikes. Each change is one transaction with its
 * record, under the registry's lock, and a unique generation decides if two ever met. That a key changed moves
 * the registry's version, so every replica has heard of it before it signs again.
 */
export interface RotationContext extends ChangeContext {
  readonly schedule: ScheduleSettings
  /** Asked when a key is made, and only then. */
  readonly keyEncryptionKeys: KeyEncryptionKeySource
}

export interface KeyChange {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly generation: number
  readonly moments: KeyMoments
}

/** The algorithms of which a key is due, judged by what is known: costs nothing, and is judged again inside. */
export function dueAlgorithms(
  keys: readonly KeyDescription[],
  algorithms: readonly SigningAlgorithm[],
  schedule: ScheduleSettings,
  now: number,
): SigningAlgorithm[] {
  return algorithms.filter((algorithm) => {
    const latest = latestKey(ofAlgorithm(keys, algorithm))
    return latest === undefined || now >= nextPublicationAt(latest, schedule)
  })
}

/** Makes the keys that are due. @returns those made here, and not by a replica that was faster. */
export async function makeDueKeys(
  context: RotationContext,
  algorithms: readonly SigningAlgorithm[],
): Promise<KeyChange[]> {
  return await changeRegistry(context, async (transaction, records) => {
    const keys = await listKeys(transaction)
    const now = await agreedNow(context, transaction)
    const made: KeyChange[] = []
    const lastFetchedAt = await lastFetchAt(transaction)
    for (const algorithm of dueAlgorithms(keys, algorithms, context.schedule, now)) {
      const latest = latestKey(ofAlgorithm(keys, algorithm))
      const moments = planKey(latest, keys, context.schedule, now, lastFetchedAt)
      const change = await addKey(context, transaction, keys, algorithm, moments)
      if (change === undefined) continue
      made.push(change)
      note(records, 'created', change)
    }
    return made
  })
}

export interface Rotation extends KeyChange {
  /** Whether the key was made for this, or was published and waiting already. */
  readonly made: boolean
  /** When it was to sign without this; undefined for a key that was not planned yet. */
  readonly plannedFrom: number | undefined
  /** False when its turn is as near as it may be already: then nothing is written. */
  readonly changed: boolean
}

/**
 * A rotation ahead of the schedule.
 * @param at `lead`: as soon as every cache has seen the next key, which breaks nobody. `now`: at once, and
 * verifiers that have not seen the key refuse its tokens until they fetch the set again.
 * @param apply false to learn what would happen; a key that would be made has no `kid` then.
 * @param verifierCacheSeconds how long verifiers keep a set by themselves. They are waited for with `lead`.
 */
export async function rotate(
  context: RotationContext,
  algorithm: SigningAlgorithm,
  at: 'lead' | 'now',
  apply = true,
  verifierCacheSeconds = assumedVerifierCacheSeconds,
): Promise<Rotation> {
  return await changeRegistry(context, async (transaction, records) => {
    const keys = await listKeys(transaction)
    const now = await agreedNow(context, transaction)
    const alike = ofAlgorithm(keys, algorithm)
    const waiting = waitingKey(alike, now)
    const moments = planEarly(waiting, context.schedule, now, at, verifierCacheSeconds, latestKey(alike))
    const generation = waiting?.generation ?? nextGeneration(ofAlgorithm(keys, algorithm))
    const planned = {
      kid: waiting?.kid ?? '',
      algorithm,
      generation,
      moments,
      made: waiting === undefined,
      plannedFrom: waiting?.signsFrom,
      changed: moments.signsFrom !== waiting?.signsFrom,
    }
    if (!apply || !planned.changed) return planned
    if (waiting !== undefined) await updateMoments(transaction, waiting.kid, moments)
    const added = waiting ?? (await addKey(context, transaction, keys, algorithm, moments))
    if (added === undefined) throw new AdministrationError('key_made_meanwhile', { algorithm })
    const rotation = { ...planned, kid: added.kid }
    note(records, at === 'now' ? 'rotated at once' : 'rotated', rotation)
    return rotation
  })
}

export interface Revocation {
  readonly kid: string
  /** False when it was revoked before. */
  readonly revoked: boolean
  /** The key whose turn came early because of it; undefined if others sign without a gap as they were to. */
  readonly successor: KeyChange | undefined
  /** Seconds since 1970: from then on no relying service that keeps to the JWK Set's max-age accepts its tokens. */
  readonly refusedFrom: number
}

/**
 * Calls a key back: it signs nothing from the moment this returns. The next one takes over, as soon as every
 * cache has seen it if another one can sign until then, and at once if not. By the database's clock, because a
 * machine whose own is wrong must be able to call a key back.
 */
export async function revokeKey(context: RotationContext, kid: string): Promise<Revocation> {
  return await changeRegistry<Revocation>(context, async (transaction, records) => {
    const all = await listKeys(transaction)
    const key = all.find((each) => each.kid === kid)
    if (key === undefined) throw new AdministrationError('key_not_found', { kid })
    const now = Math.floor((await databaseTime(context, transaction)).databaseSeconds)
    const refusedFrom = (key.revokedAt ?? now) + leadSeconds(context.schedule)
    if (key.revokedAt !== undefined) {
      return { kid, revoked: false, successor: undefined, refusedFrom }
    }
    await updateMoments(transaction, kid, { ...key, revokedAt: now })
    note(records, 'revoked', { ...key, moments: key }, { relying_services_refuse_from: refusedFrom })
    const alike = ofAlgorithm(all, key.algorithm)
    const takeover = planTakeover(alike, key, context.schedule, now)
    let successor: KeyChange | undefined
    if (takeover !== undefined) {
      successor = await promote(context, transaction, all, key.algorithm, takeover)
      note(records, 'promoted', successor)
    }
    return { kid, revoked: true, successor, refusedFrom }
  })
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

async function databaseTime(context: RotationContext, transaction: Queryable) {
  const startedAt = context.clock.monotonicMilliseconds()
  const databaseSeconds = await databaseNow(transaction)
  const elapsedSeconds = (context.clock.monotonicMilliseconds() - startedAt) / 1_000
  return { databaseSeconds, elapsedSeconds }
}

/** Now, if the database agrees: a schedule made by a wrong clock would be wrong for months. */
async function agreedNow(context: RotationContext, transaction: Queryable): Promise<number> {
  const { databaseSeconds, elapsedSeconds } = await databaseTime(context, transaction)
  const off = offSeconds(context.clock.nowMilliseconds() / 1_000, databaseSeconds, elapsedSeconds)
  const tolerance = clockToleranceSeconds(context.schedule.clockSkewSeconds)
  if (Math.abs(off) > tolerance) throw clockDisagrees(off, tolerance)
  return context.clock.nowSeconds()
}

export function clockDisagrees(
  offSeconds: number,
  toleranceSeconds: number,
): AdministrationError<'clock_disagrees'> {
  return new AdministrationError('clock_disagrees', { offSeconds, toleranceSeconds })
}

async function addKey(
  context: RotationContext,
  transaction: Queryable,
  keys: readonly KeyDescription[],
  algorithm: SigningAlgorithm,
  moments: KeyMoments,
): Promise<KeyChange | undefined> {
  const generation = nextGeneration(ofAlgorithm(keys, algorithm))
  const key = sealingKey(keys, await context.keyEncryptionKeys())
  const kid = await createKey(transaction, key, algorithm, generation, moments)
  return kid === undefined ? undefined : { kid, algorithm, generation, moments }
}

/**
 * What a new key is sealed with: whatever seals the newest one. Only a rewrap (rewrap.ts) moves on to another
 * key-encryption key. So a replica that does not have the new one yet can open every key that is made before the
 * rewrap, and nothing is sealed with the old one after it.
 */
export function sealingKey(
  keys: readonly Pick<KeyDescription, 'publishedAt' | 'keyEncryptionKeyId'>[],
  atHand: KeyEncryptionKeys,
): KeyEncryptionKey {
  const [newest] = keys.toSorted((one, other) => other.publishedAt - one.publishedAt)
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

function ofAlgorithm(keys: readonly KeyDescription[], algorithm: SigningAlgorithm): KeyDescription[] {
  return keys.filter((key) => key.algorithm === algorithm)
}

function nextGeneration(keys: readonly KeyDescription[]): number {
  return Math.max(0, ...keys.map(({ generation }) => generation)) + 1
}

function note(
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

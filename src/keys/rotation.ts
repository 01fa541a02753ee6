import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { changeRegistry } from '../ledger/change-store.ts'
import { findChangesOfLast } from '../ledger/record-store.ts'
import { believedKeys } from './believed.ts'
import {
  addKey,
  agreedNow,
  type KeyChange,
  nextGeneration,
  note,
  ofAlgorithm,
  plannedSchedule,
  type RotationContext,
} from './key-change.ts'
import { type ManifestMark, writeManifest } from './manifest-store.ts'
import {
  assumedVerifierCacheSeconds,
  nextPublicationAt,
  planEarly,
  planExtension,
  planKey,
} from './schedule.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import {
  type KeyMoments,
  latestKey,
  type ScheduleSettings,
  signingKeyAt,
  signsLongestUntil,
  tokensEndBy,
  waitingKey,
} from './state.ts'
import { type KeyDescription, updateMoments } from './store.ts'
import { settledKeys } from './takeover.ts'
import { lastFetchAt } from './verifier-store.ts'

/**
 * Rotation: writes what the schedule says into the database. Any replica may do it when it finds that something is due.
 * There is no leader and no fixed time. Each change is one transaction with its record, under the registry's lock, and
 * the generation is unique, so two replicas cannot create the same key. A changed key moves the registry's version, so
 * every replica knows of it before it signs again.
 */

/**
 * The algorithms that have a due key, or a key that must be published for longer, judged from memory. This costs
 * nothing, and is judged again in the transaction.
 */
export function dueAlgorithms(
  keys: readonly KeyDescription[],
  algorithms: readonly SigningAlgorithm[],
  schedule: ScheduleSettings,
  now: number,
): SigningAlgorithm[] {
  return algorithms.filter((algorithm) => {
    const alike = ofAlgorithm(keys, algorithm)
    return isKeyDue(alike, schedule, now) || planExtension(alike, schedule, now) !== undefined
  })
}

function isKeyDue(alike: readonly KeyDescription[], schedule: ScheduleSettings, now: number): boolean {
  const latest = latestKey(alike)
  return latest === undefined || now >= nextPublicationAt(latest, schedule)
}

/**
 * Creates the keys that are due, and publishes a key for longer if otherwise nothing would sign before the next one.
 * @param onExtended called with each key that is published for longer, before that is committed.
 * @returns the keys made here, and not by a replica that was faster.
 */
export async function makeDueKeys(
  context: RotationContext,
  algorithms: readonly SigningAlgorithm[],
  onExtended: (change: KeyChange) => void = () => {},
): Promise<KeyChange[]> {
  return await changeRegistry(context, async (transaction, records) => {
    const atHand = await context.keyEncryptionKeys()
    const now = await agreedNow(context, transaction)
    let first: ManifestMark | undefined
    const keys = await settledKeys(context, transaction, records, atHand, now, (mark) => {
      first = mark
    })
    const schedule = await plannedSchedule(context, transaction, now)
    const made: KeyChange[] = []
    const extended: KeyChange[] = []
    const lastFetchedAt = await lastFetchAt(transaction)
    for (const algorithm of dueAlgorithms(keys, algorithms, schedule, now)) {
      const alike = ofAlgorithm(keys, algorithm)
      let next: KeyChange | undefined
      if (isKeyDue(alike, schedule, now)) {
        const moments = planKey(latestKey(alike), keys, schedule, now, lastFetchedAt)
        next = await addKey(context, transaction, keys, algorithm, moments)
      }
      if (next !== undefined) made.push(next)
      const extension = planExtension(withNext(alike, next), schedule, now)
      if (extension === undefined) continue
      const { kid, generation } = extension.key
      await updateMoments(transaction, kid, extension.moments)
      extended.push({ kid, algorithm, generation, moments: extension.moments })
    }
    if (made.length + extended.length === 0) {
      if (first !== undefined) records.add('key', 'vouched', {}, [], { ...first, kids: [] })
      return made
    }
    const mark = await writeManifest(transaction, atHand, [...made, ...extended])
    for (const change of made) note(records, 'created', change, mark)
    for (const change of extended) {
      note(records, 'extended', change, mark)
      onExtended(change)
    }
    return made
  })
}

/** The keys of an algorithm, with the one that was made just now. */
function withNext(
  alike: readonly KeyDescription[],
  next: KeyChange | undefined,
): readonly (KeyMoments & Pick<KeyDescription, 'kid' | 'generation'>)[] {
  if (next === undefined) return alike
  return [...alike, { ...next.moments, kid: next.kid, generation: next.generation }]
}

export interface Rotation extends KeyChange {
  /** Whether the key was made for this, or was published and waiting already. */
  readonly made: boolean
  /** When it was to sign without this; undefined for a key that was not planned yet. */
  readonly plannedFrom: number | undefined
  /** No token ends later until then, if that shortens tokens: the key that signs cannot carry the longest one. */
  readonly tokensEndBy: number | undefined
  /** False if its turn is already as early as possible, or came meanwhile: then nothing is written. */
  readonly changed: boolean
  /** Whether another command let it sign at once after this one began. */
  readonly meanwhile: boolean
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
    const now = await agreedNow(context, transaction)
    // A plan changes nothing, so it needs no key-encryption key. With the key it believes only what the manifest says.
    const atHand = apply ? await context.keyEncryptionKeys() : undefined
    const keys =
      atHand === undefined
        ? (await believedKeys(transaction, context.keysAtHand?.())).keys
        : await settledKeys(context, transaction, records, atHand, now)
    const alike = ofAlgorithm(keys, algorithm)
    // Two people run this at the same moment, and want one key. A second one would break the relying services twice.
    const isLate = apply && at === 'now' && (await isRotatedMeanwhile(context, transaction, algorithm))
    const signer = isLate ? signingKeyAt(alike, context.schedule, now) : undefined
    if (signer !== undefined) return rotatedMeanwhile(signer)
    const waiting = waitingKey(alike, now)
    const schedule = await plannedSchedule(context, transaction, waiting?.publishedAt ?? now)
    // No cache can hold a set without the very first key, and nothing else signs.
    const turn = keys.length === 0 ? 'now' : at
    const moments = planEarly(waiting, schedule, now, turn, verifierCacheSeconds, latestKey(alike))
    const generation = waiting?.generation ?? nextGeneration(ofAlgorithm(keys, algorithm))
    const planned = {
      kid: waiting?.kid ?? '',
      algorithm,
      generation,
      moments,
      made: waiting === undefined,
      plannedFrom: waiting?.signsFrom,
      tokensEndBy: shortenedTo(alike, schedule, now),
      changed: moments.signsFrom !== waiting?.signsFrom,
      meanwhile: false,
    }
    if (atHand === undefined || !planned.changed) return planned
    if (waiting !== undefined) await updateMoments(transaction, waiting.kid, moments)
    const added = waiting ?? (await addKey(context, transaction, keys, algorithm, moments))
    if (added === undefined) throw new AdministrationError('key_made_meanwhile', { algorithm })
    const rotation = { ...planned, kid: added.kid, generation: added.generation }
    const mark = await writeManifest(transaction, atHand, [rotation])
    note(records, at === 'now' ? 'rotated at once' : 'rotated', rotation, mark)
    return rotation
  })
}

async function isRotatedMeanwhile(
  { elapsedSeconds }: RotationContext,
  transaction: Queryable,
  algorithm: SigningAlgorithm,
): Promise<boolean> {
  if (elapsedSeconds === undefined) return false
  const changes = await findChangesOfLast(transaction, elapsedSeconds())
  return changes.some(
    ({ type, outcome, detail }) =>
      type === 'key' && outcome === 'rotated at once' && detail?.['algorithm'] === algorithm,
  )
}

function rotatedMeanwhile(signer: KeyDescription): Rotation {
  const { kid, algorithm, generation } = signer
  return {
    kid,
    algorithm,
    generation,
    moments: signer,
    made: false,
    plannedFrom: signer.signsFrom,
    tokensEndBy: undefined,
    changed: false,
    meanwhile: true,
  }
}

function shortenedTo(
  alike: readonly KeyDescription[],
  schedule: ScheduleSettings,
  now: number,
): number | undefined {
  const signer = signingKeyAt(alike, schedule, now)
  return signer === undefined || now <= signsLongestUntil(signer, schedule)
    ? undefined
    : tokensEndBy(signer, schedule)
}

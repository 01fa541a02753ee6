import { publish } from './keyring.ts'
import { nextPublicationAt, turnEndsAt } from './schedule.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'
import { isPublished, type KeyState, latestKey, type ScheduleSettings, stateAmong } from './state.ts'
import type { KeyDescription } from './store.ts'

/** The published keys for somebody who wants them as a file, and how long that file is good. Pure. Times in seconds since 1970. */
export interface ExportedKeys {
  /** The JWK Set (RFC 7517 §5). */
  readonly text: string
  readonly keys: readonly ExportedKey[]
  /** From then on a key may sign that is not in the set. Undefined: nothing signs. */
  readonly goodUntil: number | undefined
  /** When the first such key is published, so that the next file has it. */
  readonly nextKeyAt: number | undefined
}

export interface ExportedKey {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly state: KeyState
  readonly signsFrom: number
}

/**
 * @param keys all keys of the algorithms that are wanted.
 * @param used the algorithms that get further keys. The keys of others end, and no new one comes.
 */
export function exportedKeys(
  keys: readonly KeyDescription[],
  used: ReadonlySet<SigningAlgorithm>,
  schedule: ScheduleSettings,
  now: number,
): ExportedKeys {
  const published = keys.filter((key) => isPublished(key, now))
  const latest = [...Map.groupBy(keys, ({ algorithm }) => algorithm)].flatMap(([algorithm, alike]) =>
    used.has(algorithm) ? (latestKey(alike) ?? []) : [],
  )
  const earliest = (moments: readonly number[]): number | undefined =>
    moments.length === 0 ? undefined : Math.max(now, Math.min(...moments))
  return {
    text: publish(published).body,
    keys: published.map((key) => ({
      kid: key.kid,
      algorithm: key.algorithm,
      state: stateAmong(key, keys, schedule, now, now),
      signsFrom: key.signsFrom,
    })),
    goodUntil: earliest(latest.map((key) => turnEndsAt(key, schedule))),
    nextKeyAt: earliest(latest.map((key) => nextPublicationAt(key, schedule))),
  }
}

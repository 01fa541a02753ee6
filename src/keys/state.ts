import type { SigningAlgorithm } from './signing-algorithm.ts'

/**
 * The life of a signing key, as a pure function of its moments and now. Nothing is flagged, nothing runs at
 * midnight: whoever knows the moments and the time knows the state, on every replica alike.
 *
 *     0                    L/3                              5L/6          L
 *     ├─ published ─────────┼─ signing ──────────────────────┼─ retiring ─┤ removed
 *                           ╰ of the one before: 5L/6        ╰ the next signs
 *
 * A key is published long before it first signs, so that every verifier's cache has seen it; it stays
 * published after it last signed, so that every token of it can be verified until it expires. The next key is
 * published when this one is half way (L/2).
 *
 * All times in seconds since 1970, all durations in seconds.
 */
export interface KeyMoments {
  readonly publishedAt: number
  readonly signsFrom: number
  /** When the next one is meant to take over. If there is none, this one goes on for as long as it may. */
  readonly signsUntil: number
  readonly publishedUntil: number
  readonly revokedAt: number | undefined
}

export interface ScheduleSettings {
  /** L: from a key's publication to its removal. */
  readonly keyLifetimeSeconds: number
  /** T: the longest that any token may live. */
  readonly tokenLifetimeSecondsMax: number
  /** M: the longest that a cache may keep the JWK Set. */
  readonly jwksMaxAgeSeconds: number
  /** C: the longest that a verifier waits between two fetches although it met an unknown key. */
  readonly verifierCooldownSeconds: number
  /** S: how far clocks of replicas, verifiers and the database may be apart. */
  readonly clockSkewSeconds: number
}

/**
 * Whether a key has ended for good, whatever clock of those that are allowed is asked: nothing will ever be
 * signed with it again.
 */
export function isOver(key: KeyMoments, settings: ScheduleSettings, now: number): boolean {
  return key.revokedAt !== undefined || now >= key.publishedUntil + settings.clockSkewSeconds
}

export type KeyState = 'waiting' | 'published' | 'signing' | 'retiring' | 'removed' | 'revoked'

export function keyState(key: KeyMoments, now: number): KeyState {
  // Whatever the clock says: one that is behind must not go on with a key that was called back.
  if (key.revokedAt !== undefined) return 'revoked'
  if (now < key.publishedAt) return 'waiting'
  if (now >= key.publishedUntil) return 'removed'
  if (now < key.signsFrom) return 'published'
  return now < key.signsUntil ? 'signing' : 'retiring'
}

/** From the moment it is known: a replica whose clock is behind must not hide what another one made. */
export function isPublished(key: KeyMoments, now: number): boolean {
  const state = keyState(key, now)
  return state !== 'removed' && state !== 'revoked'
}

/**
 * Whether a key may sign: its time has come, it is not revoked, and even the longest token would expire, on
 * the slowest clock, while the key is still published.
 */
export function maySign(key: KeyMoments, settings: ScheduleSettings, now: number): boolean {
  return isPublished(key, now) && now >= key.signsFrom && now <= signsAtMostUntil(key, settings)
}

/** The last second in which a token may still be signed. */
export function signsAtMostUntil(key: KeyMoments, settings: ScheduleSettings): number {
  return key.publishedUntil - settings.tokenLifetimeSecondsMax - settings.clockSkewSeconds
}

/**
 * The key that signs: of those that may, the latest generation. So a key whose successor is late goes on
 * past its `signsUntil`, until its last token would outlive it; then nothing signs, which is the safe end.
 */
export function signingKeyAt<Key extends KeyMoments & { readonly generation: number }>(
  keys: readonly Key[],
  settings: ScheduleSettings,
  now: number,
): Key | undefined {
  let latest: Key | undefined
  for (const key of keys) {
    if (maySign(key, settings, now) && (latest === undefined || key.generation > latest.generation))
      latest = key
  }
  return latest
}

/** The key that the next one follows: the latest generation that was not called back. */
export function latestKey<Key extends KeyMoments & { readonly generation: number }>(
  keys: readonly Key[],
): Key | undefined {
  let latest: Key | undefined
  for (const key of keys) {
    if (key.revokedAt === undefined && (latest === undefined || key.generation > latest.generation))
      latest = key
  }
  return latest
}

/** Published, or about to be, and not signing yet. */
export function waitingKey<Key extends KeyMoments>(keys: readonly Key[], now: number): Key | undefined {
  return keys.find((key) => key.revokedAt === undefined && key.signsFrom > now)
}

/** A key as its siblings, the other keys of its algorithm, are compared with it. */
export interface SiblingKey extends KeyMoments {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly generation: number
}

/**
 * The state of a key among its siblings. Which key signs depends on the others: an early turn ends the turn of
 * the one before, and a key whose successor is late goes on. After now, a turn ends when it is planned to.
 */
export function stateAmong(
  key: SiblingKey,
  keys: readonly SiblingKey[],
  settings: ScheduleSettings,
  at: number,
  now: number,
): KeyState {
  const alike = keys
    .filter(({ algorithm }) => algorithm === key.algorithm)
    // Before a key was revoked it was a key like any other.
    .map((each) => (at < (each.revokedAt ?? at) ? { ...each, revokedAt: undefined } : each))
  const state = keyState(alike.find(({ kid }) => kid === key.kid) ?? key, at)
  if (state !== 'signing' && state !== 'retiring') return state
  const signs = signingKeyAt(alike, settings, at)?.kid === key.kid && (at <= now || at < key.signsUntil)
  return signs ? 'signing' : 'retiring'
}

/**
 * When a key's turn ends, or ended, among its siblings. In seconds since 1970; undefined for a key that was revoked
 * before its turn.
 */
export function turnEndAmong(
  key: SiblingKey,
  keys: readonly SiblingKey[],
  schedule: ScheduleSettings,
): number | undefined {
  const { revokedAt } = key
  if (revokedAt !== undefined && revokedAt <= key.signsFrom) return undefined
  const turns = keys
    .filter((next) => next.algorithm === key.algorithm && next.generation > key.generation)
    // A revoked key had its turn before it was revoked, or none. A key that takes over at once is dated a little
    // earlier, for clocks that are behind. Until it was created, this one signed.
    .filter((next) => next.revokedAt === undefined || next.signsFrom < next.revokedAt)
    .filter((next) => revokedAt === undefined || next.signsFrom < revokedAt - schedule.clockSkewSeconds)
    .map(({ signsFrom }) => signsFrom)
  const nextTurn = Math.min(...turns)
  // A key whose successor is late goes on.
  const planned = maySign({ ...key, revokedAt: undefined }, schedule, nextTurn - 1)
    ? nextTurn
    : key.signsUntil
  return Math.min(planned, nextTurn, revokedAt ?? Number.POSITIVE_INFINITY)
}

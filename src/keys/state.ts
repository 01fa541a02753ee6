import type { SigningAlgorithm } from './signing-algorithm.ts'

/**
 * The state of a signing key is a pure function of its moments and the current time. No flag is stored and no
 * job switches a state. So every replica computes the same state from the same moments.
 *
 *     0                    L/3                              5L/6          L
 *     ├─ published ─────────┼─ signing ──────────────────────┼─ retiring ─┤ removed
 *                           ╰ of the one before: 5L/6        ╰ the next signs
 *
 * A key is published long before it first signs, so that the cache of every verifier has it. It stays
 * published after it last signed, so that each of its tokens can be verified until the token expires. The
 * next key is published at half of the lifetime of this one (L/2).
 *
 * All times in seconds since 1970, all durations in seconds.
 */
export interface KeyMoments {
  readonly publishedAt: number
  readonly signsFrom: number
  /**
   * When the next key is planned to take over. If there is none, this key continues for as long as it may.
   */
  readonly signsUntil: number
  readonly publishedUntil: number
  readonly revokedAt: number | undefined
}

export interface ScheduleSettings {
  /** L: from the publication of a key to its removal. */
  readonly keyLifetimeSeconds: number
  /** T: the longest lifetime of a token. */
  readonly tokenLifetimeSecondsMax: number
  /** M: the longest time that a cache may keep the JWK Set. */
  readonly jwksMaxAgeSeconds: number
  /** C: the longest time that a verifier waits between two fetches, even if it has met an unknown key. */
  readonly verifierCooldownSeconds: number
  /** S: the greatest difference between the clocks of replicas, verifiers and the database. */
  readonly clockSkewSeconds: number
}

/**
 * Whether a key has ended for good on every clock within the allowed skew. It will never sign again.
 */
export function isOver(key: KeyMoments, settings: ScheduleSettings, now: number): boolean {
  return key.revokedAt !== undefined || now >= key.publishedUntil + settings.clockSkewSeconds
}

export type KeyState = 'waiting' | 'published' | 'signing' | 'retiring' | 'removed' | 'revoked'

export function keyState(key: KeyMoments, now: number): KeyState {
  // A revoked key is revoked at any time. A replica whose clock is behind must not continue to use it.
  if (key.revokedAt !== undefined) return 'revoked'
  if (now < key.publishedAt) return 'waiting'
  if (now >= key.publishedUntil) return 'removed'
  if (now < key.signsFrom) return 'published'
  return now < key.signsUntil ? 'signing' : 'retiring'
}

/**
 * Whether the JWK Set contains the key. A waiting key counts as published: a replica whose clock is behind
 * must not hide a key that another replica created.
 */
export function isPublished(key: KeyMoments, now: number): boolean {
  const state = keyState(key, now)
  return state !== 'removed' && state !== 'revoked'
}

/**
 * The shortest lifetime for which a key still signs, in seconds. A token that is shorter is over before it is of use.
 */
const shortestTokenSeconds = 60

/**
 * The latest end of a token of this key: the key stays published until then on every clock. A token that was to live
 * for longer ends here.
 */
export function tokensEndBy(key: KeyMoments, settings: ScheduleSettings): number {
  return key.publishedUntil - settings.clockSkewSeconds
}

/**
 * Whether a key may sign: its turn has come, it is not revoked, and its tokens are not too short to be of use.
 */
export function maySign(key: KeyMoments, settings: ScheduleSettings, now: number): boolean {
  return isPublished(key, now) && now >= key.signsFrom && now <= signsAtMostUntil(key, settings)
}

/** The last second in which a token may still be signed, if only a short one. */
export function signsAtMostUntil(key: KeyMoments, settings: ScheduleSettings): number {
  return tokensEndBy(key, settings) - Math.min(settings.tokenLifetimeSecondsMax, shortestTokenSeconds)
}

/** The last second in which even the longest token may be signed. */
export function signsLongestUntil(key: KeyMoments, settings: ScheduleSettings): number {
  return tokensEndBy(key, settings) - settings.tokenLifetimeSecondsMax
}

/**
 * The key that signs: the latest generation of the keys that may sign. A key whose successor is late
 * continues past its `signsUntil`, up to the last second in which it may sign. Its tokens get shorter then. After that
 * no key signs: a refused token is safer than a token that cannot be verified.
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

/** The key before the next new one: the latest generation that is not revoked. */
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

/** A key that does not sign yet: published, or about to be published. */
export function waitingKey<Key extends KeyMoments>(keys: readonly Key[], now: number): Key | undefined {
  return keys.find((key) => key.revokedAt === undefined && key.signsFrom > now)
}

/** A key as it is compared with its siblings, the other keys of its algorithm. */
export interface SiblingKey extends KeyMoments {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly generation: number
}

/**
 * The state of a key at a time, given its siblings. Which key signs depends on the other keys: an early turn
 * ends the previous turn, and a key whose successor is late continues. For times after `now`, a turn ends at
 * its planned end.
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
    // Before its revocation a revoked key counts like any other key.
    .map((each) => (at < (each.revokedAt ?? at) ? { ...each, revokedAt: undefined } : each))
  const state = keyState(alike.find(({ kid }) => kid === key.kid) ?? key, at)
  if (state !== 'signing' && state !== 'retiring') return state
  const signs = signingKeyAt(alike, settings, at)?.kid === key.kid && (at <= now || at < key.signsUntil)
  return signs ? 'signing' : 'retiring'
}

/**
 * When the turn of a key ends or ended, given its siblings.
 * @returns seconds since 1970; undefined for a key that was revoked before its turn.
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
    // A revoked key had its turn before its revocation, or no turn at all. A key that takes over at once gets
    // an earlier `signsFrom`, for clocks that are behind. This key signed until the other one was created.
    .filter((next) => next.revokedAt === undefined || next.signsFrom < next.revokedAt)
    .filter((next) => revokedAt === undefined || next.signsFrom < revokedAt - schedule.clockSkewSeconds)
    .map(({ signsFrom }) => signsFrom)
  const nextTurn = Math.min(...turns)
  // A key whose successor is late continues.
  const planned = maySign({ ...key, revokedAt: undefined }, schedule, nextTurn - 1)
    ? nextTurn
    : key.signsUntil
  return Math.min(planned, nextTurn, revokedAt ?? Number.POSITIVE_INFINITY)
}

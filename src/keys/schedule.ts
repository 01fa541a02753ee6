import { limits } from '../limits.ts'

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
 * Seconds until a new key stands in every replica's set: each looks at the registry every second, a read may
 * take one, and moments are whole seconds.
 */
const spreadSeconds = 3

/** How old a verifier's set may be, with clocks apart: it keeps what it fetched for M, then may wait C. */
function cacheSeconds(settings: ScheduleSettings): number {
  return settings.jwksMaxAgeSeconds + settings.verifierCooldownSeconds + settings.clockSkewSeconds
}

/**
 * How long a key must be published before it may sign: until the last replica shows it, and from then on
 * until the last verifier has thrown away what it fetched before.
 */
export function leadSeconds(settings: ScheduleSettings): number {
  return cacheSeconds(settings) + spreadSeconds
}

/** Seconds between two looks at whether a key is due; short enough for a drill with keys that live seconds. */
export function checkSeconds(settings: ScheduleSettings): number {
  return Math.min(limits.rotationCheckSecondsMax, Math.max(1, Math.floor(settings.keyLifetimeSeconds / 200)))
}

/** What is wrong with the settings, in one sentence with its numbers; undefined if nothing is. */
export function scheduleProblem(settings: ScheduleSettings): string | undefined {
  const { keyLifetimeSeconds: lifetime, tokenLifetimeSecondsMax: token, clockSkewSeconds: skew } = settings
  const caches = cacheSeconds(settings)
  if (caches > lifetime / 3) {
    return (
      `JWKS max-age ${settings.jwksMaxAgeSeconds} s + verifier cooldown ${settings.verifierCooldownSeconds} s + ` +
      `clock skew ${skew} s = ${caches} s is more than a third of the key lifetime ${lifetime} s ` +
      `(${Math.floor(lifetime / 3)} s): a key would sign before every verifier can know it. ` +
      `Make the key lifetime at least ${caches * 3} s.`
    )
  }
  if (token + skew > lifetime / 6) {
    return (
      `Tokens of ${token} s + clock skew ${skew} s = ${token + skew} s is more than a sixth of the key lifetime ` +
      `${lifetime} s (${Math.floor(lifetime / 6)} s): tokens would outlive their key's publication. ` +
      `Make the key lifetime at least ${(token + skew) * 6} s.`
    )
  }
  const ahead = leadSeconds(settings) + checkSeconds(settings)
  if (ahead > Math.floor(lifetime / 2)) {
    return (
      `${caches} s of caches and clock skew + ${ahead - caches} s until every replica knows a new key = ${ahead} s ` +
      `is more than half of the key lifetime ${lifetime} s: the next key could not be ready in time. ` +
      `Make the key lifetime at least ${ahead * 2} s.`
    )
  }
  return undefined
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
function signsAtMostUntil(key: KeyMoments, settings: ScheduleSettings): number {
  return key.publishedUntil - settings.tokenLifetimeSecondsMax - settings.clockSkewSeconds
}

/** When a key's turn ends: as it was planned, or sooner where tokens live longer now than they did then. */
function turnEndsAt(key: KeyMoments, settings: ScheduleSettings): number {
  return Math.min(key.signsUntil, signsAtMostUntil(key, settings))
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

/**
 * When the key after this one is to be published: so that every replica has shown it for L/3 when this one's
 * turn ends, even if nobody looked at once; but not before this one signs.
 */
export function nextPublicationAt(latest: KeyMoments, settings: ScheduleSettings): number {
  const ahead = Math.floor(settings.keyLifetimeSeconds / 3) + spreadSeconds + checkSeconds(settings)
  return Math.max(latest.signsFrom, turnEndsAt(latest, settings) - ahead)
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

/**
 * The moments of a new key that is published now.
 * @param latest the key of its algorithm that it follows.
 * @param all every key there ever was, of all algorithms: what caches may hold.
 */
export function planKey(
  latest: KeyMoments | undefined,
  all: readonly KeyMoments[],
  settings: ScheduleSettings,
  now: number,
): KeyMoments {
  const lead = leadSeconds(settings)
  // A set that nobody can have cached: the very first one, or the first after a long time without keys.
  const unseen = all.every((key) => (key.revokedAt ?? key.publishedUntil) + lead <= now)
  if (unseen) return momentsFrom(now, now, settings)
  // On time this is the end of the other's turn; late, it is as soon as caches allow.
  const turnEnd = latest === undefined ? 0 : turnEndsAt(latest, settings)
  return momentsFrom(now, Math.max(turnEnd, now + lead), settings)
}

/**
 * The moments of the next key when its turn is brought forward, never back.
 * @param waiting the next key, if it is published already.
 * @param at `lead`: as soon as every cache has seen it. `now`: at once.
 */
export function planEarly(
  waiting: KeyMoments | undefined,
  settings: ScheduleSettings,
  now: number,
  at: 'lead' | 'now',
): KeyMoments {
  const publishedAt = waiting?.publishedAt ?? now
  const earliest = Math.max(publishedAt + (at === 'lead' ? leadSeconds(settings) : 0), now)
  return momentsFrom(publishedAt, Math.min(earliest, waiting?.signsFrom ?? earliest), settings)
}

/** A key that is published now and signs from a given moment: half a lifetime, and a sixth to retire. */
export function momentsFrom(publishedAt: number, signsFrom: number, settings: ScheduleSettings): KeyMoments {
  const signsUntil = signsFrom + Math.floor(settings.keyLifetimeSeconds / 2)
  return {
    publishedAt,
    signsFrom,
    signsUntil,
    publishedUntil: signsUntil + Math.ceil(settings.keyLifetimeSeconds / 6),
    revokedAt: undefined,
  }
}

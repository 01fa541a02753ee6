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

/** Seconds until a fetch of the JWK Set stands in the database (verifier-store.ts), with room for a slow write. */
const fetchNotedSeconds = 60

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
function signsAtMostUntil(key: KeyMoments, settings: ScheduleSettings): number {
  return key.publishedUntil - settings.tokenLifetimeSecondsMax - settings.clockSkewSeconds
}

/**
 * The last second up to which one key or another may sign without a gap; undefined when none may at `from`.
 * @param from seconds since 1970.
 */
function signsWithoutGapUntil(
  keys: readonly KeyMoments[],
  settings: ScheduleSettings,
  from: number,
): number | undefined {
  let until: number | undefined
  for (;;) {
    const next = until === undefined ? from : until + 1
    const key = keys.find((each) => maySign(each, settings, next))
    if (key === undefined) return until
    until = signsAtMostUntil(key, settings)
  }
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
 * @param lastFetchedAt when somebody last fetched the JWK Set; undefined when nobody is known to have.
 */
export function planKey(
  latest: KeyMoments | undefined,
  all: readonly KeyMoments[],
  settings: ScheduleSettings,
  now: number,
  lastFetchedAt: number | undefined,
): KeyMoments {
  const lead = leadSeconds(settings)
  // A set that nobody can have cached: the very first one, or the first after a long time without keys or, where
  // nothing signs anyway, without anybody who asked for them.
  const unseen = all.every((key) => (key.revokedAt ?? key.publishedUntil) + lead <= now)
  const idle = lastFetchedAt === undefined || lastFetchedAt + fetchNotedSeconds + lead <= now
  const signs = latest !== undefined && now <= signsAtMostUntil(latest, settings)
  if (unseen || (idle && !signs)) return momentsSoon(now, now, settings, now)
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
  return momentsSoon(publishedAt, Math.min(earliest, waiting?.signsFrom ?? earliest), settings, now)
}

/** Published, or about to be, and not signing yet. */
export function waitingKey<Key extends KeyMoments>(keys: readonly Key[], now: number): Key | undefined {
  return keys.find((key) => key.revokedAt === undefined && key.signsFrom > now)
}

export interface Takeover<Key extends KeyMoments> {
  /** The key whose turn comes early; undefined: one has to be made. */
  readonly next: Key | undefined
  readonly moments: KeyMoments
}

/**
 * What follows when a key was called back: the next one takes over as soon as every cache has seen it, if
 * others may sign until then; otherwise when the last of them ends, at once if need be. Judged by the slowest
 * clock there may be, for which the turn of the newest has perhaps not come yet.
 * @param keys those of its algorithm, in the order of their generations, as they were before.
 * @param gone the key that is called back, one of these.
 * @returns undefined where nothing has to change: it had no part in the time until a key made at the next look
 * may sign, or it does not sign and the others do so without a gap until then.
 */
export function planTakeover<Key extends KeyMoments & { readonly generation: number }>(
  keys: readonly Key[],
  gone: Key,
  settings: ScheduleSettings,
  now: number,
): Takeover<Key> | undefined {
  const left = keys.filter((key) => key !== gone && key.revokedAt === undefined)
  const lead = leadSeconds(settings)
  const slowest = now - settings.clockSkewSeconds
  // Where the slowest clock had no key before either, nothing is taken from it.
  const from = signsWithoutGapUntil(keys, settings, slowest) === undefined ? now : slowest
  const until = signsWithoutGapUntil(left, settings, from)
  // By then a key that is made at the next look may sign, whoever looks.
  const horizon = now + settings.clockSkewSeconds + checkSeconds(settings) + lead
  const hadPart = gone.signsFrom <= horizon && signsAtMostUntil(gone, settings) >= slowest
  const signed = signingKeyAt(keys, settings, now) === gone
  if (!hadPart || (!signed && until !== undefined && until >= horizon)) return undefined
  const next = waitingKey(left, from)
  const seenFrom = Math.max(now, (next?.publishedAt ?? now) + lead)
  const signsFrom = until === undefined ? slowest : Math.min(seenFrom, until + 1, next?.signsFrom ?? seenFrom)
  const publishedAt = Math.min(next?.publishedAt ?? now, signsFrom)
  return { next, moments: momentsSoon(publishedAt, signsFrom, settings, now) }
}

/**
 * The same for a turn that may begin at once. Its length counts from now on the fastest clock there may be: for
 * that one too, the next key must have time to become known.
 */
function momentsSoon(
  publishedAt: number,
  signsFrom: number,
  settings: ScheduleSettings,
  now: number,
): KeyMoments {
  const countsFrom = Math.max(signsFrom, now + settings.clockSkewSeconds)
  return { ...momentsFrom(publishedAt, countsFrom, settings), signsFrom }
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

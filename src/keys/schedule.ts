import { limits } from '../limits.ts'
import {
  type KeyMoments,
  maySign,
  type ScheduleSettings,
  signingKeyAt,
  signsAtMostUntil,
  waitingKey,
} from './state.ts'

/**
 * When keys are created, published and used: pure functions of the keys that there are (state.ts), the settings and
 * now. All times in seconds since 1970, all durations in seconds.
 */

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
 * When the key after this one is to be published: so that every replica has shown it for L/3 when this one's
 * turn ends, even if nobody looked at once; but not before this one signs.
 */
export function nextPublicationAt(latest: KeyMoments, settings: ScheduleSettings): number {
  const ahead = Math.floor(settings.keyLifetimeSeconds / 3) + spreadSeconds + checkSeconds(settings)
  return Math.max(latest.signsFrom, turnEndsAt(latest, settings) - ahead)
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

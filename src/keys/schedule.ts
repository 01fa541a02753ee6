import { limits } from '../limits.ts'
import {
  isPublished,
  type KeyMoments,
  latestKey,
  maySign,
  type ScheduleSettings,
  signingKeyAt,
  signsAtMostUntil,
  signsLongestUntil,
  waitingKey,
} from './state.ts'

/**
 * When keys are created, published and used: pure functions of the existing keys (state.ts), the settings and
 * the current time. All times in seconds since 1970, all durations in seconds.
 */

/**
 * Seconds until every replica publishes a new key: a replica checks the registry every second, a read may
 * take a second, and rounding to whole seconds may cost another one.
 */
const spreadSeconds = 3

/**
 * Seconds until a fetch of the JWK Set is in the database (verifier-store.ts), with time for a slow write.
 */
const fetchNotedSeconds = 60

/**
 * The greatest age of a verifier's set: it keeps a fetched set for M, then may wait C, and clocks differ by
 * S.
 */
function cacheSeconds(settings: ScheduleSettings): number {
  return settings.jwksMaxAgeSeconds + settings.verifierCooldownSeconds + settings.clockSkewSeconds
}

/**
 * How long a key must be published before it may sign: the time until the last replica publishes it, plus the
 * time until the last verifier has dropped a set that it fetched before.
 */
export function leadSeconds(settings: ScheduleSettings): number {
  return cacheSeconds(settings) + spreadSeconds
}

/**
 * How long many verifiers keep a set by themselves, in seconds: some libraries fetch it every 15 minutes, whatever the
 * max-age says and whatever `kid` they meet.
 */
export const assumedVerifierCacheSeconds = 900

/**
 * How long a key is published before it signs in an early rotation. Longer than `leadSeconds`, because nothing presses:
 * also verifiers that keep sets for longer than they may have fetched it. But no more than a third of the lifetime, as
 * in every other rotation.
 */
export function earlyLeadSeconds(settings: ScheduleSettings, verifierCacheSeconds: number): number {
  const longest = verifierCacheSeconds - settings.jwksMaxAgeSeconds + leadSeconds(settings)
  const most = Math.floor(settings.keyLifetimeSeconds / 3) + spreadSeconds
  return Math.max(leadSeconds(settings), Math.min(longest, most))
}

/**
 * Seconds between two checks whether a key is due. Short enough for a drill with a key lifetime of seconds.
 */
export function checkSeconds(settings: ScheduleSettings): number {
  return Math.min(limits.rotationCheckSecondsMax, Math.max(1, Math.floor(settings.keyLifetimeSeconds / 200)))
}

/** The first problem of the settings, with its numbers and the remedy; undefined if the settings work. */
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
 * The last second of the time without gap, starting at `from`, in which some key may sign. Undefined if no
 * key may sign at `from`.
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

/**
 * When a key's turn ends: at its planned end, or earlier if the settings have changed since it was planned. That is so
 * if tokens live longer now than it can carry, or if keys live for a shorter time now. A turn that began at once may be
 * longer by two skews (`momentsSoon`, `planTakeover`).
 */
export function turnEndsAt(key: KeyMoments, settings: ScheduleSettings): number {
  const longestTurn = Math.floor(settings.keyLifetimeSeconds / 2) + 2 * settings.clockSkewSeconds
  return Math.min(key.signsUntil, signsLongestUntil(key, settings), key.signsFrom + longestTurn)
}

/**
 * When the key after this one is published: early enough that every replica has published it for L/3 when the
 * turn of this one ends, even if the check for due keys is late. But not before this key signs, unless it could never
 * carry the longest token: then the settings have changed, and the next key does not wait for its turn.
 */
export function nextPublicationAt(latest: KeyMoments, settings: ScheduleSettings): number {
  const ahead = Math.floor(settings.keyLifetimeSeconds / 3) + spreadSeconds + checkSeconds(settings)
  const due = turnEndsAt(latest, settings) - ahead
  return signsLongestUntil(latest, settings) < latest.signsFrom ? due : Math.max(latest.signsFrom, due)
}

export interface Extension<Key extends KeyMoments> {
  readonly key: Key
  readonly moments: KeyMoments
}

/**
 * Which key is published for longer, so that something signs until the next turn. This is needed when the settings were
 * raised and the keys of the old ones end before a key of the new ones may sign. To publish a key for longer breaks
 * nobody: caches have it.
 * @param keys the keys of one algorithm, the next one among them.
 * @returns undefined if something signs until the next turn anyway, or if no key is left that every replica publishes.
 */
export function planExtension<Key extends KeyMoments & { readonly generation: number }>(
  keys: readonly Key[],
  settings: ScheduleSettings,
  now: number,
): Extension<Key> | undefined {
  const turns = keys.filter((key) => key.revokedAt === undefined && key.signsFrom > now)
  if (turns.length === 0) return undefined
  const nextTurn = Math.min(...turns.map(({ signsFrom }) => signsFrom))
  const until = signsWithoutGapUntil(keys, settings, now)
  if (until !== undefined && until + 1 >= nextTurn) return undefined
  const key = latestKey(
    keys.filter((each) => each.signsFrom <= now && isPublished(each, now + spreadSeconds)),
  )
  if (key === undefined) return undefined
  const needed = nextTurn + settings.tokenLifetimeSecondsMax + settings.clockSkewSeconds
  const { publishedAt, signsFrom, signsUntil, revokedAt } = key
  return { key, moments: { publishedAt, signsFrom, signsUntil, publishedUntil: needed, revokedAt } }
}

/**
 * The moments of a new key that is published now.
 * @param latest the previous key of its algorithm.
 * @param all every key that ever existed, of all algorithms: caches may hold any of them.
 * @param lastFetchedAt the last known fetch of the JWK Set by any verifier; undefined if none is known.
 */
export function planKey(
  latest: KeyMoments | undefined,
  all: readonly KeyMoments[],
  settings: ScheduleSettings,
  now: number,
  lastFetchedAt: number | undefined,
): KeyMoments {
  const lead = leadSeconds(settings)
  // The new key may sign at once if no cache can hold a set without it. This is so for the very first key and
  // after a long time without published keys. It is also so after a long time without a fetch, if no key
  // signs now.
  const unseen = all.every((key) => (key.revokedAt ?? key.publishedUntil) + lead <= now)
  const idle = lastFetchedAt === undefined || lastFetchedAt + fetchNotedSeconds + lead <= now
  const signs = latest !== undefined && now <= signsAtMostUntil(latest, settings)
  if (unseen || (idle && !signs)) return momentsSoon(now, now, settings, now)
  // If the key is on time, its turn starts when the turn of the previous key ends. If it is late, its turn
  // starts as soon as every cache can have it.
  const turnEnd = latest === undefined ? 0 : turnEndsAt(latest, settings)
  return momentsFrom(now, Math.max(turnEnd, now + lead), settings)
}

/**
 * The moments of the next key when its turn is made earlier. The turn never becomes later.
 * @param waiting the next key, if it is published already.
 * @param at `lead`: as soon as every cache has fetched it. `now`: at once.
 * @param verifierCacheSeconds how long verifiers keep a set by themselves, whatever the max-age says.
 * @param latest the key before the next one, if the next one must be created.
 */
export function planEarly(
  waiting: KeyMoments | undefined,
  settings: ScheduleSettings,
  now: number,
  at: 'lead' | 'now',
  verifierCacheSeconds = 0,
  latest?: KeyMoments,
): KeyMoments {
  const publishedAt = waiting?.publishedAt ?? now
  const patient = earlyLeadSeconds(settings, verifierCacheSeconds)
  // Verifiers that keep sets for longer are waited for while another key signs, and no longer.
  const left = latest === undefined ? 0 : turnEndsAt(latest, settings) - now
  const lead = waiting === undefined ? Math.max(leadSeconds(settings), Math.min(patient, left)) : patient
  const earliest = Math.max(publishedAt + (at === 'lead' ? lead : 0), now)
  return momentsSoon(publishedAt, Math.min(earliest, waiting?.signsFrom ?? earliest), settings, now)
}

export interface Takeover<Key extends KeyMoments> {
  /** The key whose turn comes early; undefined if a key must be created. */
  readonly next: Key | undefined
  readonly moments: KeyMoments
}

/**
 * Plans the next key after a revocation. The next key takes over as soon as every cache has fetched it, if
 * other keys may sign until then. Otherwise it takes over when the last of them ends, if necessary at once.
 * The plan uses the slowest allowed clock, because for that clock the turn of the newest key may not have
 * come yet.
 * @param keys the keys of the algorithm in the order of their generations, as they were before the
 * revocation.
 * @param revoked the key that is revoked, one of `keys`.
 * @returns undefined if nothing has to change. That is so if the revoked key was not going to sign before a
 * key created at the next check may sign. It is also so if the revoked key does not sign now and the other
 * keys can sign without a gap until then.
 */
export function planTakeover<Key extends KeyMoments & { readonly generation: number }>(
  keys: readonly Key[],
  revoked: Key,
  settings: ScheduleSettings,
  now: number,
): Takeover<Key> | undefined {
  const left = keys.filter((key) => key !== revoked && key.revokedAt === undefined)
  const lead = leadSeconds(settings)
  const slowest = now - settings.clockSkewSeconds
  // If the slowest clock had no signing key before the revocation, the revocation does not change that. The
  // plan then counts from now.
  const from = signsWithoutGapUntil(keys, settings, slowest) === undefined ? now : slowest
  const until = signsWithoutGapUntil(left, settings, from)
  // By then a key created at the next check may sign, on every replica.
  const horizon = now + settings.clockSkewSeconds + checkSeconds(settings) + lead
  // Right after the settings were raised, the key may be the one that the next check would publish for longer.
  const isExtended = planExtension(keys, settings, now)?.key === revoked
  const signsNear = revoked.signsFrom <= horizon && signsAtMostUntil(revoked, settings) >= slowest
  const wasNeeded = isExtended || signsNear
  const signed = isExtended || signingKeyAt(keys, settings, now) === revoked
  if (!wasNeeded || (!signed && until !== undefined && until >= horizon)) return undefined
  const next = waitingKey(left, from)
  const seenFrom = Math.max(now, (next?.publishedAt ?? now) + lead)
  const signsFrom = until === undefined ? slowest : Math.min(seenFrom, until + 1, next?.signsFrom ?? seenFrom)
  const publishedAt = Math.min(next?.publishedAt ?? now, signsFrom)
  return { next, moments: momentsSoon(publishedAt, signsFrom, settings, now) }
}

/**
 * Like `momentsFrom`, for a turn that may begin at once. The length of the turn counts from now on the
 * fastest allowed clock, because on that clock too the next key needs time to reach every cache.
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

/**
 * The moments of a key that signs from a given time. It signs for half a lifetime, then retires for a sixth.
 */
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

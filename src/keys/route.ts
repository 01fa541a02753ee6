import type { FastifyInstance } from 'fastify'
import { callerAddress } from '../http/caller-address.ts'
import { allowEveryOrigin } from '../http/cross-origin.ts'
import { entityTag, noneMatchHolds } from '../http/etag.ts'
import type { ClaimedText } from '../lib/claimed-text.ts'
import type { Clock } from '../lib/clock.ts'
import type { ClockGuard } from '../lib/clock-guard.ts'
import type { Keyring, PublishedKeys } from './keyring.ts'
import type { ScheduleSettings } from './state.ts'
import type { Verifiers } from './verifier-store.ts'

export interface KeysRouteOptions {
  readonly keyring: Keyring
  readonly clock: Clock
  readonly clockGuard: Pick<ClockGuard, 'trustedSeconds'>
  /** Waits until the keys in memory are recent enough. */
  readonly catchUp: () => Promise<void>
  readonly verifiers: Verifiers
  readonly claimedText: ClaimedText
  readonly schedule: ScheduleSettings
  /** From 0 up to 1. */
  readonly random: () => number
  readonly paths: readonly string[]
}

/**
 * The longest time in seconds that a cache may keep using its set while this service is unreachable (RFC 5861
 * §4). With a short key lifetime the limit is a third of that lifetime: after that, a key may sign that the
 * cache does not know.
 */
const staleIfErrorSecondsMax = 86_400

/** The share of max-age that is random, so that verifiers that fetched together do not return together. */
const jitter = 0.2

/**
 * The `cache-control` header of the JWK Set. A cache may keep the set for the schedule's max-age or a little
 * less, never longer. A key is public for max-age, cooldown and skew before it first signs (`leadSeconds`).
 * So every cache that obeys the header has fetched a key before it signs, at any rotation.
 * @param random from 0 up to 1.
 */
function cacheControl(schedule: ScheduleSettings, random: number): string {
  const seconds = Math.floor(schedule.jwksMaxAgeSeconds * (1 - jitter * random))
  const staleSeconds = Math.min(staleIfErrorSecondsMax, Math.floor(schedule.keyLifetimeSeconds / 3))
  return `public, max-age=${seconds}, stale-if-error=${staleSeconds}`
}

/**
 * Serves the JWK Set (RFC 7517 §5) from memory, so it is available without the database. It uses the trusted
 * time of the clock guard, because a jump of the clock must not empty the set.
 */
export function keysRoute(app: FastifyInstance, options: KeysRouteOptions, done: () => void): void {
  const { keyring, clock, clockGuard, catchUp, verifiers, claimedText, schedule, random } = options
  const tagOf = rememberedTag()
  allowEveryOrigin(app, options.paths)
  for (const path of options.paths) {
    app.get(path, async (request, reply) => {
      await catchUp()
      const published = keyring.published(clockGuard.trustedSeconds)
      const { body, kids } = published
      const etag = tagOf(published)
      const { 'mintmark-verifier': name, 'user-agent': userAgent } = request.headers
      verifiers.note({
        name: typeof name === 'string' ? claimedText.keep(name, true) : undefined,
        address: callerAddress(claimedText, request.ip),
        userAgent: userAgent === undefined ? undefined : claimedText.keep(userAgent, true),
        kids,
        time: clock.nowMilliseconds(),
      })
      reply.headers({
        'cache-control': cacheControl(schedule, random()),
        etag,
        'content-type': 'application/json',
      })
      if (noneMatchHolds(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.send(body)
    })
  }
  done()
}

/** Computes the tag of a set once. A set stays the same object until it changes. */
function rememberedTag(): (published: PublishedKeys) => string {
  let tagged: PublishedKeys | undefined
  let etag = ''
  return (published) => {
    if (published !== tagged) etag = entityTag(published.body)
    tagged = published
    return etag
  }
}

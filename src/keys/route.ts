import type { FastifyInstance } from 'fastify'
import { entityTag, noneMatchHolds } from '../http/etag.ts'
import type { Clock } from '../lib/clock.ts'
import type { ClockGuard } from '../lib/clock-guard.ts'
import type { Keyring, PublishedKeys } from './keyring.ts'
import type { ScheduleSettings } from './state.ts'
import type { Verifiers } from './verifier-store.ts'

export interface KeysRouteOptions {
  readonly keyring: Keyring
  readonly clock: Clock
  readonly clockGuard: Pick<ClockGuard, 'trustedSeconds'>
  /** Waits until memory is not older than keys may be. */
  readonly catchUp: () => Promise<void>
  readonly verifiers: Verifiers
  readonly schedule: ScheduleSettings
  /** From 0 up to 1. */
  readonly random: () => number
  readonly paths: readonly string[]
}

/**
 * Seconds for which a cache may go on with the set it has when we cannot be reached (RFC 5861 §4), at most: in a
 * short drill it is a third of the key lifetime, after which a key that it does not know would sign.
 */
const staleIfErrorSecondsMax = 86_400

/** The share of max-age that is left to chance, so that verifiers that came together do not return together. */
const jitter = 0.2

/**
 * Seconds for which a cache may keep the set: the schedule's max-age or somewhat less, never more. A key is
 * public for max-age, cooldown and skew before it first signs (`leadSeconds`), so whoever keeps to this has
 * seen it by then, whenever the next rotation comes.
 */
export function cacheControl(schedule: ScheduleSettings, random: number): string {
  const seconds = Math.floor(schedule.jwksMaxAgeSeconds * (1 - jitter * random))
  const staleSeconds = Math.min(staleIfErrorSecondsMax, Math.floor(schedule.keyLifetimeSeconds / 3))
  return `public, max-age=${seconds}, stale-if-error=${staleSeconds}`
}

/**
 * The JWK Set (RFC 7517 §5), from memory: it is served whatever state the database is in, and by a clock that
 * is trusted: a jump must not empty it.
 */
export function keysRoute(app: FastifyInstance, options: KeysRouteOptions, done: () => void): void {
  const { keyring, clock, clockGuard, catchUp, verifiers, schedule, random } = options
  const tagOf = rememberedTag()
  for (const path of options.paths) {
    app.get(path, async (request, reply) => {
      await catchUp()
      const published = keyring.published(clockGuard.trustedSeconds)
      const { body, kids } = published
      const etag = tagOf(published)
      const name = request.headers['mintmark-verifier']
      verifiers.note({
        name: typeof name === 'string' ? name : undefined,
        address: request.ip,
        userAgent: request.headers['user-agent'],
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

/** The tag of a set is computed once: a set stays the same object until it changes. */
function rememberedTag(): (published: PublishedKeys) => string {
  let tagged: PublishedKeys | undefined
  let etag = ''
  return (published) => {
    if (published !== tagged) etag = entityTag(published.body)
    tagged = published
    return etag
  }
}

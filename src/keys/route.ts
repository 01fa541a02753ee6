import type { FastifyInstance } from 'fastify'
import type { Clock } from '../lib/clock.ts'
import type { ClockGuard } from '../lib/clock-guard.ts'
import type { Registry } from '../registry/registry.ts'
import type { Keyring } from './keyring.ts'
import type { ScheduleSettings } from './schedule.ts'
import type { Verifiers } from './verifiers.ts'

export interface KeysRouteOptions {
  readonly keyring: Keyring
  readonly clock: Clock
  readonly clockGuard: Pick<ClockGuard, 'trustedSeconds'>
  readonly registry: Pick<Registry, 'catchUp'>
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
  const { keyring, clock, clockGuard, registry, verifiers, schedule, random } = options
  for (const path of options.paths) {
    app.get(path, async (request, reply) => {
      await registry.catchUp()
      const { body, etag, kids } = keyring.published(clockGuard.trustedSeconds)
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

/** RFC 9110 §13.1.2: weak comparison with every listed tag; `*` matches whatever there is. */
export function noneMatchHolds(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}

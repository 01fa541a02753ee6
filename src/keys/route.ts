import type { FastifyInstance } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Keyring } from './keyring.ts'

export interface KeysRouteOptions {
  readonly keyring: Keyring
  readonly clock: Clock
  readonly paths: readonly string[]
}

/** Seconds for which caches may keep the set without asking, and minutes in which they may when we are down. */
const cacheControl = 'public, max-age=300, stale-if-error=86400'

/** The JWK Set (RFC 7517 §5), from memory: it is served whatever state the database is in. */
export function keysRoute(app: FastifyInstance, options: KeysRouteOptions, done: () => void): void {
  for (const path of options.paths) {
    app.get(path, (request, reply) => {
      const { body, etag } = options.keyring.published(options.clock.nowSeconds())
      reply.headers({ 'cache-control': cacheControl, etag, 'content-type': 'application/json' })
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

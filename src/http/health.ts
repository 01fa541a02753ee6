import type { FastifyInstance } from 'fastify'

export interface HealthOptions {
  /** What has to be true before traffic makes sense, by name. */
  readonly checks: Readonly<Record<string, () => boolean>>
  /** What needs a person although tokens are issued: names of events in the log. */
  readonly warnings: () => readonly string[]
}

/** `/livez`: the process answers. `/readyz`: it can issue tokens; a balancer should ask this one. */
export function healthRoute(app: FastifyInstance, options: HealthOptions, done: () => void): void {
  app.get('/livez', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const checks = Object.fromEntries(Object.entries(options.checks).map(([name, check]) => [name, check()]))
    const ready = Object.values(checks).every(Boolean)
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'not ready', checks, warnings: options.warnings() })
  })
  done()
}

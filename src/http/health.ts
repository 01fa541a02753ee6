import type { FastifyInstance } from 'fastify'

export interface HealthOptions {
  /** The conditions for issuing tokens, by name. */
  readonly checks: Readonly<Record<string, () => boolean>>
  /** The names of further conditions that do not hold. They are shown only then. */
  readonly failed: () => readonly string[]
  /** Problems that need an operator although tokens are issued: names of events in the log. */
  readonly warnings: () => readonly string[]
}

/** Whether the URL of a request is one of the paths below. */
export function isHealthCheck(url: string): boolean {
  return url === '/livez' || url === '/readyz'
}

/** `/livez`: the process answers. `/readyz`: it can issue tokens. A load balancer should use `/readyz`. */
export function healthRoute(app: FastifyInstance, options: HealthOptions, done: () => void): void {
  app.get('/livez', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const checks = Object.fromEntries(Object.entries(options.checks).map(([name, check]) => [name, check()]))
    for (const name of options.failed()) checks[name] = false
    const ready = Object.values(checks).every(Boolean)
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'not ready', checks, warnings: options.warnings() })
  })
  done()
}

import type { FastifyInstance } from 'fastify'

/**
 * Lets scripts of every web page read these paths (Fetch Standard §3.3). What stands there is public, is the same for
 * everybody, and is read without credentials. Called in a plugin, so that it holds for that plugin's routes alone.
 */
export function allowEveryOrigin(app: FastifyInstance, paths: readonly string[]): void {
  app.addHook('onRequest', (_request, reply, next) => {
    reply.headers({ 'access-control-allow-origin': '*', 'access-control-expose-headers': 'ETag' })
    next()
  })
  for (const path of paths) {
    // A browser asks first when a request has a header of its own, like If-None-Match or MCP-Protocol-Version.
    app.options(path, (_request, reply) =>
      reply
        .headers({
          'access-control-allow-methods': 'GET, HEAD',
          'access-control-allow-headers': '*',
          'access-control-max-age': '86400',
        })
        .code(204)
        .send(),
    )
  }
}

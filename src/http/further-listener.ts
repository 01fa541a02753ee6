import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * Further listeners of the same service: one that asks callers for a certificate (mtls-listener.ts), one for a proxy on this
 * machine (proxy-socket.ts). All of them answer the same paths in the same way.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** Every listener, Fastify's own first. */
    listeners: Server[]
  }
}

/** Gives a listener all that Fastify's own has. It is closed with it. */
export function joinService(app: FastifyInstance, server: Server): void {
  const { keepAliveTimeout, requestTimeout, timeout } = app.server
  Object.assign(server, { keepAliveTimeout, requestTimeout, timeout })
  for (const event of ['clientError', 'checkExpectation', 'connect']) {
    for (const listener of app.server.listeners(event)) server.on(event, listener as () => void)
  }
  app.listeners.push(server)
  let closed: Promise<void> | undefined
  app.addHook('preClose', (done) => {
    closed = new Promise((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    done()
  })
  app.addHook('onClose', async () => await closed)
}

/** @throws what the system says, with its code. */
export async function listening(server: Server, place: { host: string; port: number } | { path: string }) {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(place, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

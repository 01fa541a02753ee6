import { createServer, type Server } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { OperatorError } from '../errors.ts'
import { secureContext, type TlsFiles } from './tls.ts'

/**
 * A second listener of the same service, which asks callers for a certificate. The first one then asks nobody: browsers and
 * some libraries stumble over being asked. Both answer the same paths in the same way.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined: there is one listener. */
    mtlsServer: Server | undefined
  }
}

type Options = Parameters<typeof createServer>[0]

/** Adds it. It does not listen yet. */
export function addMtlsListener(app: FastifyInstance, tls: TlsFiles, options: NonNullable<Options>): void {
  const server = createServer({ ...options, ...secureContext(tls, true) }, (request, response) =>
    app.routing(request, response),
  )
  const { keepAliveTimeout, requestTimeout, timeout } = app.server
  Object.assign(server, { keepAliveTimeout, requestTimeout, timeout })
  for (const event of ['clientError', 'checkExpectation']) {
    for (const listener of app.server.listeners(event)) server.on(event, listener as () => void)
  }
  app.decorate('mtlsServer', server)
  let closed: Promise<void> | undefined
  app.addHook('preClose', (done) => {
    closed = new Promise((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    done()
  })
  app.addHook('onClose', async () => await closed)
}

/** @throws OperatorError with the reason in one line. */
export async function listenMtls(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  }).catch((error: NodeJS.ErrnoException) => {
    throw new OperatorError(
      `MINTMARK_MTLS_PORT: cannot listen on ${host}:${port} (${error.code ?? error.message}). Set it to another port.`,
      { cause: error },
    )
  })
}

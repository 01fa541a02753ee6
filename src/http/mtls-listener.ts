import { createServer, type Server } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { OperatorError } from '../errors.ts'
import { joinService, listening } from './further-listener.ts'
import { secureContext, type TlsFiles } from './tls.ts'

/**
 * A second listener, which asks callers for a certificate. The first one then asks no caller, because browsers and some
 * libraries have problems when they are asked.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined: there is none. */
    mtlsServer: Server | undefined
  }
}

type Options = Parameters<typeof createServer>[0]

/** Adds it. It does not listen yet. */
export function addMtlsListener(app: FastifyInstance, tls: TlsFiles, options: NonNullable<Options>): void {
  const server = createServer({ ...options, ...secureContext(tls, true) }, (request, response) =>
    app.routing(request, response),
  )
  app.decorate('mtlsServer', server)
  joinService(app, server)
}

/** @throws OperatorError with the reason in one line. */
export async function listenMtls(server: Server, host: string, port: number): Promise<void> {
  await listening(server, { host, port }).catch((error: NodeJS.ErrnoException) => {
    throw new OperatorError(
      `MINTMARK_MTLS_PORT: cannot listen on ${host}:${port} (${error.code ?? error.message}). Set it to another port.`,
      { cause: error },
    )
  })
}

import type { FastifyInstance } from 'fastify'
import { OperatorError } from '../errors.ts'
import { listenMtls } from './mtls-listener.ts'
import { listenOnProxySocket } from './proxy-socket.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
  /** The listener that asks for certificates, if it is another one. */
  readonly mtls?: { readonly port: number } | undefined
  /** The path of the socket for a proxy on this machine, if there is one. */
  readonly proxySocket?: string | undefined
}

/** Starts listening. @throws OperatorError with the reason in one line. */
export async function listen(app: FastifyInstance, address: ListenAddress): Promise<void> {
  try {
    await app.listen({ host: address.host, port: address.port })
  } catch (error) {
    const problem = listenProblems[(error as NodeJS.ErrnoException).code ?? ''] ?? (error as Error).message
    throw new OperatorError(`PORT: cannot listen on ${address.host}:${address.port}: ${problem}`, {
      cause: error,
    })
  }
  if (address.mtls !== undefined && app.mtlsServer !== undefined)
    await listenMtls(app.mtlsServer, address.host, address.mtls.port)
  if (address.proxySocket !== undefined && app.proxySocket !== undefined)
    await listenOnProxySocket(app.proxySocket, address.proxySocket)
}

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use. Stop the process that uses it, or set PORT to another port.',
  EACCES: 'this user may not use the port. Set PORT to a port above 1023.',
  EADDRNOTAVAIL: 'this machine does not have the address. Correct HOST.',
  ENOTFOUND: 'the host name does not exist. Correct HOST.',
}

/**
 * Closes the server and waits for the current requests. After the given time, open connections are closed
 * too.
 */
export async function closeWithin(app: FastifyInstance, milliseconds: number): Promise<void> {
  const servers = app.listeners
  const timer = setTimeout(() => {
    for (const server of servers) server.closeAllConnections()
  }, milliseconds).unref()
  // A connection that was busy at the start may become idle without an answer with `connection: close`.
  const sweep = setInterval(() => {
    for (const server of servers) server.closeIdleConnections()
  }, 250).unref()
  await app.close()
  clearTimeout(timer)
  clearInterval(sweep)
}

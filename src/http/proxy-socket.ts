import { chmod } from 'node:fs/promises'
import { createServer, type Server, type ServerOptions } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { OperatorError } from '../errors.ts'
import { joinService, listening } from './further-listener.ts'

/**
 * A listener on a Unix socket, for a proxy on this machine that ends TLS. Only a process that may write to the file can
 * connect, and the directory and the mode of the file decide which that is. So every connection comes from the proxy,
 * and the service believes what it says about its callers: their address and their certificate.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined: there is none. */
    proxySocket: Server | undefined
  }
}

/** Only the owner of the file, which is this process, and its group. */
const socketMode = 0o660

/** Stands for the address of a connection that has none. It is not an address. */
export const proxySocketAddress = 'unix'

const connections = new WeakSet<Socket>()

/** Whether a connection came in through the socket. */
export const isFromProxySocket = (socket: Socket): boolean => connections.has(socket)

/** Adds it. It does not listen yet. */
export function addProxySocket(app: FastifyInstance, options: ServerOptions): void {
  const server = createServer(options, (request, response) => app.routing(request, response))
  server.on('connection', (socket: Socket) => {
    connections.add(socket)
    Object.defineProperty(socket, 'remoteAddress', { value: proxySocketAddress })
  })
  app.decorate('proxySocket', server)
  joinService(app, server)
}

/** @throws OperatorError with the reason in one line. */
export async function listenOnProxySocket(server: Server, path: string): Promise<void> {
  try {
    await listening(server, { path })
    await chmod(path, socketMode)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    throw new OperatorError(
      `MINTMARK_PROXY_SOCKET: cannot listen on ${path}: ${listenProblems[code] ?? message}`,
      { cause: error },
    )
  }
}

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there, or the file is no socket. Set it to another path.',
  // Node also reports this if there is no directory.
  EACCES:
    'its directory does not exist, or this user may not write to it. Create it, for this user and the group of the proxy.',
}

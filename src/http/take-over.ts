import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type TLSSocket, Server as TlsServer } from 'node:tls'
import type { Exchange } from './caller.ts'
import { readLater } from './pause.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export interface TakenOver {
  /** A new connection. Nothing of it is read, and no TLS handshake begins, before `read` is called. */
  readonly onConnection: (socket: Socket, read: () => void) => void
  /** The TLS handshake of a connection is done. @param beneath the socket of that connection. */
  readonly onSecured: (socket: Socket, beneath: Socket) => void
  readonly onExchange: (exchange: Exchange) => void
}

/**
 * Takes the place of the listeners of a server for its connections and requests.
 * @returns what hands a request to the listeners that it had for requests.
 */
export function takeOver(server: Server, { onConnection, onSecured, onExchange }: TakenOver): Handler {
  const listeners = server.listeners('request') as Handler[]
  server.removeAllListeners('request')
  server.on('request', (request, response) => onExchange({ request, response }))
  // Node's own listener is the first. It reads the connection, or begins the TLS handshake.
  const [begin] = server.listeners('connection') as ((socket: Socket) => void)[]
  if (begin !== undefined) server.off('connection', begin)
  readLater(server)
  server.on('connection', (socket: Socket) => {
    onConnection(socket, () => {
      begin?.call(server, socket)
      if (!(server instanceof TlsServer)) socket.resume()
    })
  })
  server.on('secureConnection', (socket: TLSSocket & { readonly _parent?: Socket }) => {
    if (socket._parent !== undefined) onSecured(socket, socket._parent)
  })
  return (request, response) => {
    for (const listener of listeners) listener.call(server, request, response)
  }
}

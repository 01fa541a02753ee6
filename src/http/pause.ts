import type { Server, Socket } from 'node:net'
import type { Connection, PausableParser } from './caller.ts'

/** Node reads no further request from a socket with this mark. It has no public name. */
interface PausableSocket extends Socket {
  _paused?: boolean
  readonly parser?: PausableParser | null
}

/** Node has this as an option of its plain servers only. */
interface PausingServer extends Server {
  pauseOnConnect?: boolean
}

/** A new connection of this server is not read before it is resumed. */
export function readLater(server: PausingServer): void {
  server.pauseOnConnect = true
}

/**
 * Reads no further request. Without the mark, Node would resume the socket after each request. Node also pauses the
 * parser of a socket with the mark. What TLS has already decrypted would then arrive at a paused parser, which is an
 * error. So the parser is not paused: nothing more is read for it.
 */
export function pause(connection: Connection): void {
  const socket: PausableSocket = connection.socket
  if (connection.parser === undefined && socket.parser) {
    connection.parser = socket.parser
    socket.parser.pause = () => {}
  }
  socket._paused = true
  socket.pause()
}

export function resume(connection: Connection): void {
  const socket: PausableSocket = connection.socket
  if (socket._paused !== true || socket.destroyed) return
  releaseParser(connection)
  socket._paused = false
  // Node may have paused it, because the peer did not read its answers.
  socket.parser?.resume()
  socket.resume()
}

/** Node uses a parser again for other connections. */
export function releaseParser(connection: Connection): void {
  if (connection.parser !== undefined) delete connection.parser.pause
  connection.parser = undefined
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Tally } from '../telemetry/tally.ts'

const brokenRequestStatus: Readonly<Record<string, string>> = {
  CONNECT: '405 Method Not Allowed',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** Connections whose last request was refused for its form. What follows on them is the rest of that request. */
const refused = new WeakSet<Socket>()

/** No other answer follows the one that is being sent. */
export function answerNoMore(socket: Socket): void {
  refused.add(socket)
}

/**
 * Answers bytes that are not a valid HTTP request (RFC 9112 §3), counts them for the log and closes the connection.
 * The ledger gets no record, because there is no request.
 */
export function answerBrokenRequest(
  broken: Tally,
  constantHeaders: Readonly<Record<string, string>>,
  error: { readonly code?: string },
  socket: AnsweringSocket,
): void {
  if (refused.has(socket)) {
    endWhenAnswered(socket)
    return
  }
  const code = error.code ?? 'unknown'
  broken.count(code, socket.remoteAddress)
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  // An earlier, complete request on this connection is being answered. Its client must not take this error
  // for the answer, so the error is not sent.
  if (socket._httpMessage?.req?.complete === true) {
    endWhenAnswered(socket)
    return
  }
  const body = '{"error":"invalid_request","error_description":"The message is not a valid HTTP request."}'
  const headers = Object.entries(constantHeaders).map(([name, value]) => `${name}: ${value}\r\n`)
  const status = brokenRequestStatus[code] ?? '400 Bad Request'
  socket.end(
    `HTTP/1.1 ${status}\r\n${headers.join('')}content-type: application/json\r\ncache-control: no-store\r\n` +
      `content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
}

/** Node keeps the answer that a socket is sending in this field. It has no public name. */
export interface AnsweringSocket extends Socket {
  readonly _httpMessage?: (ServerResponse & { readonly req?: IncomingMessage }) | null
}

/** Closes the connection after all current answers are sent. */
function endWhenAnswered(socket: AnsweringSocket): void {
  const answer = socket._httpMessage
  if (answer === undefined || answer === null) socket.end()
  else answer.once('close', () => setImmediate(endWhenAnswered, socket))
}

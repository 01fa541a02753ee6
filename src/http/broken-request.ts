import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Log } from '../telemetry/log.ts'

const brokenRequestStatus: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** What never became a request (RFC 9112 §3): there is nothing to record, so it is answered, logged and closed. */
export function answerBrokenRequest(
  log: Log,
  constantHeaders: Readonly<Record<string, string>>,
  error: Error & { code?: string },
  socket: AnsweringSocket,
): void {
  const code = error.code ?? 'unknown'
  log.info(
    { event: 'broken_request', code, address: socket.remoteAddress },
    'a message that is no HTTP request',
  )
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  // A whole request came before it and is being answered: this is no answer to that one.
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

/** Node keeps the answer that a socket is busy with under this name, and has no other for it. */
export interface AnsweringSocket extends Socket {
  readonly _httpMessage?: (ServerResponse & { readonly req?: IncomingMessage }) | null
}

/** Lets all answers that are under way go out, and then closes. */
function endWhenAnswered(socket: AnsweringSocket): void {
  const answer = socket._httpMessage
  if (answer === undefined || answer === null) socket.end()
  else answer.once('close', () => setImmediate(endWhenAnswered, socket))
}

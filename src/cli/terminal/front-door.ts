import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { OperatorError } from '../../errors.ts'
import { limits } from '../../limits.ts'

/** A header as it is written, and no library has put in order. */
export type HeaderLine = readonly [name: string, value: string]

export interface DoorAnswer {
  readonly status: number
  /** Undefined: something in front of the service answered. */
  readonly requestId: string | undefined
}

/** All in PEM. */
export interface DoorTls {
  /** Undefined for the CAs that Node has. */
  readonly authorities: string | undefined
  /** The certificate of the caller. */
  readonly own?: { readonly certificate: string; readonly privateKey: string } | undefined
}

const answerMilliseconds = 10_000

/**
 * One token request, written byte by byte: libraries refuse to send what a forger sends.
 * @param url without a slash at its end.
 * @returns undefined if the connection was closed without an answer.
 * @throws OperatorError if there is no connection.
 */
export async function askFrontDoor(
  url: URL,
  headers: readonly HeaderLine[],
  body: string,
  tls: DoorTls,
): Promise<DoorAnswer | undefined> {
  const text = await exchange(
    url,
    [
      `POST ${url.pathname.replace(/\/$/, '')}/token HTTP/1.1`,
      `Host: ${url.host}`,
      'User-Agent: mintmark-proxy-check',
      'Content-Type: application/x-www-form-urlencoded',
      `Content-Length: ${body.length}`,
      'Connection: close',
      ...headers.map(([name, value]) => `${name}: ${value}`),
      '',
      body,
    ].join('\r\n'),
    tls,
  )
  const [head = ''] = text.split('\r\n\r\n', 1)
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(head) ?? []
  const [, requestId] = /\r\nx-request-id:[ \t]*([\w-]{1,64})[ \t]*(?:\r\n|$)/i.exec(head) ?? []
  return status === undefined ? undefined : { status: Number(status), requestId }
}

function exchange(url: URL, sent: string, { authorities, own }: DoorTls): Promise<string> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const isTls = url.protocol === 'https:'
  const port = Number(url.port || (isTls ? 443 : 80))
  return new Promise((resolve, reject) => {
    const ca = authorities === undefined ? {} : { ca: authorities }
    const pair = own === undefined ? {} : { cert: own.certificate, key: own.privateKey }
    // A name of a server is never an address (RFC 6066 §3).
    const name = /^[\d.]+$|:/.test(host) ? {} : { servername: host }
    const socket: Socket = isTls
      ? connectTls({
          host,
          port,
          ALPNProtocols: ['http/1.1'],
          rejectUnauthorized: true,
          ...name,
          ...ca,
          ...pair,
        })
      : connectPlain({ host, port })
    let text = ''
    let isConnected = false
    const done = () => {
      socket.destroy()
      resolve(text)
    }
    socket.setEncoding('latin1')
    socket.setTimeout(answerMilliseconds, done)
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      isConnected = true
      socket.write(sent, 'latin1')
    })
    socket.on('data', (part) => {
      text += String(part)
      // What is looked for stands in front.
      if (text.length > limits.bodyBytesMax) done()
    })
    socket.on('end', done)
    socket.on('close', done)
    socket.on('error', (error) => {
      if (isConnected) return done()
      socket.destroy()
      reject(new OperatorError(`${url.href} cannot be reached: ${error.message}`, { cause: error }))
    })
  })
}

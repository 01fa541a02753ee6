import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, expect } from 'vitest'
import type { ConnectionLimits } from '../../src/http/connection-limits.ts'
import { Connections } from '../../src/http/connections.ts'
import { HeldRefusals } from '../../src/http/held-refusals.ts'
import { UnreadConnections } from '../../src/http/unread-connections.ts'
import { certificate, privateKey } from './certificate.ts'

/** A server whose connections are bounded, and peers that open them. */

const wide: ConnectionLimits = {
  connections: 100,
  connectionsPerAddress: 100,
  bodies: 100,
  bodiesPerAddress: 100,
  requestsPerAddress: 100,
  pipelined: 100,
  pipelinedPerAddress: 100,
}

export const stranger = '127.0.0.2'
export const neighbour = '127.0.0.3'
export const proxy = '127.0.0.4'

export interface Bounded {
  readonly server: Server
  readonly closed: string[]
  /** Requests that the service is answering, by their path. */
  readonly underWay: Map<string, ServerResponse>
  readonly connections: Connections
  readonly unread: UnreadConnections
  /** Ends the waiting of each refusal that is held back. */
  readonly held: (() => void)[]
  /** Milliseconds on the clock of the connections. */
  now: number
  open(address: string): Promise<Peer>
}

export interface Peer {
  readonly socket: Socket
  readonly received: () => string
  readonly isOpen: () => boolean
  send(text: string): void
}

const opened: (() => void)[] = []
afterEach(() => {
  for (const close of opened.splice(0)) close()
})

type Answer = (request: IncomingMessage, response: ServerResponse, all: Bounded) => void

/**
 * Requests for `/now…` are answered at once, those for `/refused…` like one over a limit. Others are answered when the test
 * says so.
 */
const answerSome: Answer = (request, response, { underWay, connections }) => {
  const { url = '' } = request
  if (url.startsWith('/now')) response.end(url)
  else if (url.startsWith('/refused')) {
    const held = connections.holdRefusal(request)
    if (held === undefined) response.end(url)
    else void held.then(() => response.end(url))
  } else underWay.set(url, response)
  if (!url.startsWith('/unread')) request.resume()
}

export async function bounded(
  {
    unreadMilliseconds = 1,
    refusalsAtOncePerAddress = 100,
    ...changed
  }: Partial<ConnectionLimits> & {
    readonly unreadMilliseconds?: number
    readonly refusalsAtOncePerAddress?: number
  },
  tls = false,
  answerWith = answerSome,
): Promise<Bounded> {
  const answer = (request: IncomingMessage, response: ServerResponse) => answerWith(request, response, all)
  const server = tls ? createTlsServer({ cert: certificate, key: privateKey }, answer) : createServer(answer)
  const closed: string[] = []
  const unread = new UnreadConnections(unreadMilliseconds)
  const heldRefusals = new HeldRefusals({
    atOncePerAddress: refusalsAtOncePerAddress,
    monotonicMilliseconds: () => all.now,
    wait: () => new Promise((resolve) => all.held.push(resolve)),
  })
  const connections = new Connections({
    limits: { ...wide, ...changed },
    unread,
    heldRefusals,
    isTrusted: (address) => address === proxy,
    isUrgent: (url) => url === '/now/urgent',
    onClosed: (why, address) => closed.push(`${why} ${address}`),
  })
  connections.watch(server as Server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  opened.push(() => {
    unread.close()
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const open = (localAddress: string): Promise<Peer> =>
    new Promise((resolve, reject) => {
      const plain = connect({ port, host: '127.0.0.1', localAddress })
      const socket = tls ? connectTls({ socket: plain, rejectUnauthorized: false }) : plain
      let received = ''
      let isOpen = true
      const peer = {
        socket,
        received: () => received,
        isOpen: () => isOpen,
        send: (text: string) => void socket.write(text),
      }
      socket.on('data', (chunk) => {
        received += String(chunk)
      })
      socket.on('error', (error) => (isOpen ? undefined : reject(error)))
      socket.on('close', () => {
        isOpen = false
      })
      const before = connections.size
      plain.once('connect', async () => {
        await expect.poll(() => connections.size + closed.length, { interval: 2 }).toBeGreaterThan(before)
        resolve(peer)
      })
      opened.push(() => socket.destroy())
    })
  const all: Bounded = {
    server: server as Server,
    closed,
    underWay: new Map(),
    connections,
    unread,
    held: [],
    now: 0,
    open,
  }
  return all
}

export const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
export const post = (path: string, length: number): string =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`

export const polled = { interval: 2, timeout: 60_000 }

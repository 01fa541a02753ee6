import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { callerNetwork } from '../lib/network.ts'
import { OAuthError } from '../refusals.ts'
import {
  Caller,
  type Closed,
  type Connection,
  closedWhile,
  type Exchange,
  newConnection,
  Waiters,
  type Waiting,
} from './caller.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import type { HeldRefusals } from './held-refusals.ts'
import { pause, releaseParser, resume } from './pause.ts'
import { type Handler, takeOver } from './take-over.ts'
import type { UnreadConnections } from './unread-connections.ts'

export interface ConnectionsOptions {
  readonly limits: ConnectionLimits
  readonly unread: UnreadConnections
  readonly heldRefusals: HeldRefusals
  readonly isTrusted: (address: string) => boolean
  /** Whether a request is answered without waiting for others of its address. */
  readonly isUrgent: (url: string) => boolean
  readonly onClosed: (closed: Closed, address: string) => void
}

/**
 * Connections, unfinished bodies and requests of strangers, bounded for each address and for the process.
 *
 * A new connection is let in wherever that is possible. At a limit, the connection that its peer needs least is closed
 * instead: the longest idle one. So nobody can shut others out, and a health check is always answered.
 *
 * Node reads every pipelined request as soon as it arrives. Here a connection has one request at a time, and it is not
 * read further while requests wait behind that one. So requests are taken from all connections in turn, and a thousand
 * requests on one connection delay nobody else.
 */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #all = new Waiters()
  readonly #callers = new Map<string, Caller>()
  readonly #bySocket = new WeakMap<Socket, Connection>()
  #pipelined = 0
  #answer: Handler = () => {}

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /** Open connections. */
  get size(): number {
    return this.#all.size
  }

  /** Closes all connections that the service owes nothing. */
  closeIdle(): void {
    for (const { socket } of [...this.#all.idle]) socket.destroy()
  }

  /** Puts itself between a server and the listener for its requests. Several servers of one service have the same. */
  watch(server: Server): void {
    this.#answer = takeOver(server, {
      onConnection: (socket, read) => this.#open(socket, read),
      onSecured: (socket, beneath) => this.#secure(socket, beneath),
      onExchange: (exchange) => this.#receive(exchange),
    })
  }

  #secure(socket: Socket, beneath: Socket): void {
    const connection = this.#bySocket.get(beneath)
    if (connection === undefined) return
    this.#bySocket.set(socket, connection)
    connection.socket = socket
  }

  #open(socket: Socket, read: () => void): void {
    // Node caches the address when it is first read. After a reset, a connection no longer has one.
    const { remoteAddress } = socket
    // With TLS this is the second event of the connection.
    if (this.#bySocket.has(socket)) return
    if (remoteAddress === undefined) {
      socket.destroy()
      return
    }
    const caller = this.#callerOf(remoteAddress)
    const { connections, connectionsPerAddress } = this.#options.limits
    const hasRoom =
      this.#makeRoom(caller, caller.isTrusted ? connections : connectionsPerAddress) &&
      this.#makeRoom(this.#all, connections)
    if (!hasRoom) {
      socket.destroy()
      this.#options.onClosed('new', caller.address)
      this.#forgetCaller(caller)
      return
    }
    // Again, because making room may have closed its last connection.
    this.#callers.set(caller.address, caller)
    const connection = newConnection(socket, caller, read)
    this.#all.idle.add(connection)
    caller.idle.add(connection)
    this.#bySocket.set(socket, connection)
    socket.once('close', () => this.#forget(connection))
    if (caller.isTrusted || caller.body.size < this.#options.limits.bodiesPerAddress) read()
    else this.#options.unread.add(connection)
  }

  #callerOf(address: string): Caller {
    const network = callerNetwork(address)
    return this.#callers.get(network) ?? new Caller(network, this.#options.isTrusted(address))
  }

  /** @returns whether there is room for one more. */
  #makeRoom(waiters: Waiters, max: number): boolean {
    if (waiters.size < max) return true
    const connection = waiters.mostDispensable()
    if (connection === undefined) return false
    this.#close(connection, closedWhile[connection.waiting])
    return true
  }

  #close(connection: Connection, closed: Closed): void {
    this.#forget(connection)
    connection.socket.destroy()
    this.#options.onClosed(closed, connection.caller.address)
  }

  #forget(connection: Connection): void {
    const { caller, waiting } = connection
    if (!this.#all[waiting].delete(connection)) return
    caller[waiting].delete(connection)
    this.#options.unread.remove(connection)
    releaseParser(connection)
    this.#noLongerBehind(connection, connection.behind.splice(0).length)
    this.#leavePlace(connection)
    this.#forgetCaller(caller)
    connection.held?.reject(new OAuthError('overloaded'))
  }

  #forgetCaller(caller: Caller): void {
    if (caller.size === 0) this.#callers.delete(caller.address)
  }

  #receive(exchange: Exchange): void {
    const connection = this.#bySocket.get(exchange.request.socket)
    if (connection === undefined) {
      this.#answer(exchange.request, exchange.response)
      return
    }
    // It was closed a moment ago, while the rest of what it had sent was being read.
    if (!this.#all[connection.waiting].has(connection)) return
    if (connection.exchange === undefined) {
      this.#begin(connection, exchange)
      return
    }
    const { caller, behind } = connection
    const { pipelined, pipelinedPerAddress } = this.#options.limits
    if (this.#pipelined >= pipelined || (!caller.isTrusted && caller.behind >= pipelinedPerAddress)) {
      this.#close(connection, 'pipelined')
      return
    }
    behind.push(exchange)
    this.#pipelined += 1
    caller.behind += 1
    pause(connection)
  }

  #begin(connection: Connection, exchange: Exchange): void {
    connection.exchange = exchange
    exchange.response.once('close', () => this.#finish(connection))
    const { caller } = connection
    const hasTurn =
      caller.isTrusted ||
      caller.places < this.#options.limits.requestsPerAddress ||
      this.#options.isUrgent(exchange.request.url ?? '')
    connection.isRead = false
    connection.held = undefined
    // The body usually arrives with the headers, and is parsed before the next turn of the loop. If not, its connection
    // waits for it without a place.
    if (!exchange.request.complete) setImmediate(this.#checkBody, connection, exchange)
    if (hasTurn) this.#hand(connection, exchange)
    else this.#move(connection, 'turn')
  }

  /** Hands the request of a connection to the service. */
  #hand(connection: Connection, { request, response }: Exchange): void {
    this.#move(connection, 'answer')
    connection.hasPlace = true
    connection.caller.places += 1
    if (!connection.isRead) this.#answer(request, response)
    else connection.held?.resolve()
  }

  readonly #checkBody = (connection: Connection, exchange: Exchange): void => {
    const { request, response } = exchange
    const { caller, waiting } = connection
    if (request.complete || response.writableEnded || connection.exchange !== exchange) return
    if (!this.#all[waiting].has(connection)) return
    const { bodies, bodiesPerAddress } = this.#options.limits
    if (!caller.isTrusted) this.#makeRoomForBody(caller, bodiesPerAddress)
    this.#makeRoomForBody(this.#all, bodies)
    this.#move(connection, 'body')
    this.#leavePlace(connection)
    connection.isRead = true
    request.once('end', () => {
      if (connection.exchange === exchange) this.#bodyArrived(connection)
    })
    // It had to wait for a turn. Reading its body is no work, so that starts now.
    if (waiting === 'turn') this.#answer(request, response)
  }

  /** Its request is complete, late. It takes a place, or waits for one like any other. */
  #bodyArrived(connection: Connection): void {
    const { caller, waiting } = connection
    if (waiting !== 'body' || !this.#all.body.has(connection)) return
    const isFree = caller.isTrusted || caller.places < this.#options.limits.requestsPerAddress
    this.#move(connection, isFree ? 'answer' : 'turn')
    connection.hasPlace = isFree
    if (isFree) caller.places += 1
  }

  /** Resolves when it is the turn of a request that has its body. @returns undefined if it is its turn already. */
  readonly turnOf = ({ socket }: IncomingMessage): Promise<void> | undefined => {
    const connection = this.#bySocket.get(socket)
    if (connection?.isRead !== true) return undefined
    // The service may hear of the end of the body before we do.
    this.#bodyArrived(connection)
    if (connection.waiting !== 'turn') return undefined
    return new Promise((resolve, reject) => {
      connection.held = { resolve, reject }
    })
  }

  /**
   * Holds back the refusal of a request over a limit, if its address got many of them. It takes no place meanwhile.
   * @returns undefined if the refusal is to be sent at once.
   */
  readonly holdRefusal = ({ socket }: IncomingMessage): Promise<void> | undefined => {
    const connection = this.#bySocket.get(socket)
    if (connection?.waiting !== 'answer' || connection.caller.isTrusted) return undefined
    const held = this.#options.heldRefusals.hold(connection.caller.address)
    if (held === undefined) return undefined
    this.#move(connection, 'refusal')
    this.#leavePlace(connection)
    return held
  }

  #makeRoomForBody(waiters: Waiters, max: number): void {
    if (waiters.body.size < max) return
    const [oldest] = waiters.body
    if (oldest !== undefined) this.#close(oldest, 'unfinishedBody')
  }

  /** The answer is sent, or the connection is closed. */
  #finish(connection: Connection): void {
    connection.exchange = undefined
    connection.held?.reject(new OAuthError('overloaded'))
    if (!this.#all[connection.waiting].has(connection)) return
    this.#move(connection, 'idle')
    this.#leavePlace(connection)
    this.#options.unread.readAfter(connection)
    // The answer may have announced that it is the last one.
    if (connection.socket.writableEnded) return
    const next = connection.behind.shift()
    if (connection.behind.length === 0) resume(connection)
    if (next === undefined) return
    this.#noLongerBehind(connection, 1)
    this.#begin(connection, next)
  }

  /** Counts requests that no longer wait behind another one. */
  #noLongerBehind({ caller }: Connection, count: number): void {
    this.#pipelined -= count
    caller.behind -= count
  }

  /** Gives up a place. The first in the line of the same address takes it. */
  #leavePlace(connection: Connection): void {
    if (!connection.hasPlace) return
    const { caller } = connection
    connection.hasPlace = false
    caller.places -= 1
    if (caller.places >= this.#options.limits.requestsPerAddress) return
    const [first] = caller.turn
    if (first?.exchange !== undefined) this.#hand(first, first.exchange)
  }

  #move(connection: Connection, waiting: Waiting): void {
    const { caller } = connection
    this.#all[connection.waiting].delete(connection)
    caller[connection.waiting].delete(connection)
    connection.waiting = waiting
    this.#all[waiting].add(connection)
    caller[waiting].add(connection)
  }
}

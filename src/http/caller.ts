import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** A request with the response that it gets. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * What a connection waits for:
 * - `idle`: its peer has sent no whole request. The service owes it nothing.
 * - `body`: its peer has sent the headers of a request and not the whole body.
 * - `turn`: its request is complete and waits until other requests of the same address are answered.
 * - `answer`: its request is being answered.
 * - `refusal`: its request is refused, and the answer is held back.
 */
export type Waiting = 'idle' | 'body' | 'turn' | 'answer' | 'refusal'

/** Why a connection was closed. */
export type Closed =
  | 'idle'
  | 'unfinishedBody'
  | 'unreadAnswer'
  | 'heldRefusal'
  | 'inLine'
  | 'pipelined'
  | 'new'

/** The reason that is counted, by what the closed connection waited for. */
export const closedWhile = {
  idle: 'idle',
  body: 'unfinishedBody',
  turn: 'inLine',
  answer: 'unreadAnswer',
  refusal: 'heldRefusal',
} as const satisfies Record<Waiting, Closed>

/** One open connection. */
export interface Connection {
  /** With TLS this is the encrypted socket first, and the socket inside as soon as the handshake is done. */
  socket: Socket
  readonly caller: Caller
  /** Lets the server read it, which does so from then on. */
  readonly read: () => void
  waiting: Waiting
  /** The request whose turn it is. */
  exchange: Exchange | undefined
  /** Requests behind it that have been read already. They are answered one after the other (RFC 9112 §9.3.2). */
  readonly behind: Exchange[]
  /** Whether it takes one of its caller's places for requests that are being answered. */
  hasPlace: boolean
  /** Whether the service has its request already, which waits for its turn with a body that came late. */
  isRead: boolean
  /** Who waits for that turn. */
  held: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  /** Node's parser of a connection that is not read at the moment. */
  parser: PausableParser | undefined
}

/** The part of Node's parser that has no public name. */
export interface PausableParser {
  pause?: () => void
  resume(): void
}

/** Connections by what they wait for, each set with the one that waits longest first. */
export class Waiters {
  readonly idle = new Set<Connection>()
  readonly body = new Set<Connection>()
  readonly turn = new Set<Connection>()
  readonly answer = new Set<Connection>()
  readonly refusal = new Set<Connection>()

  get size(): number {
    return this.idle.size + this.body.size + this.turn.size + this.answer.size + this.refusal.size
  }

  /**
   * The connection to close if there must be room for another one: the longest idle one; else the one whose body is
   * missing longest; else the one whose refusal is held back longest; else one whose peer does not read its answer; else
   * the last in the line. Undefined if all are being answered.
   */
  mostDispensable(): Connection | undefined {
    return first(this.idle) ?? first(this.body) ?? first(this.refusal) ?? this.#unread() ?? last(this.turn)
  }

  #unread(): Connection | undefined {
    for (const connection of this.answer) {
      if (connection.exchange?.response.writableEnded === true) return connection
    }
    return undefined
  }
}

/** An address that connects to the service. An IPv6 network of 64 bits counts as one address. */
export class Caller extends Waiters {
  readonly address: string
  /** A trusted proxy connects for many callers. Only the limits of the process hold for it. */
  readonly isTrusted: boolean
  /** Its requests that are being answered. */
  places = 0
  /** Its requests that were read and wait behind another one of their connection. */
  behind = 0

  constructor(address: string, isTrusted: boolean) {
    super()
    this.address = address
    this.isTrusted = isTrusted
  }
}

function first<Item>(set: ReadonlySet<Item>): Item | undefined {
  return set.values().next().value
}

function last<Item>(set: ReadonlySet<Item>): Item | undefined {
  let latest: Item | undefined
  for (const item of set) latest = item
  return latest
}

export function newConnection(socket: Socket, caller: Caller, read: () => void): Connection {
  return {
    socket,
    caller,
    read,
    waiting: 'idle',
    exchange: undefined,
    behind: [],
    hasPlace: false,
    isRead: false,
    held: undefined,
    parser: undefined,
  }
}

import type { Caller, Connection } from './caller.ts'

/** The connections of one address that wait. */
interface Waiting {
  readonly connections: Connection[]
  /** The one that was read last. */
  latest: Connection
}

/**
 * New connections of an address that has as many unfinished bodies as it may have. Each could bring one more body, which
 * closes the oldest. A stranger can open hundreds in a second. To read, refuse and close them takes time from other
 * callers, so they are read one by one. The newest is read first: another caller may have the same address, and its
 * connection must not wait for a thousand of the stranger's.
 */
export class UnreadConnections {
  readonly #intervalMilliseconds: number
  /** An address has an entry for one interval after each reading. */
  readonly #waiting = new Map<Caller, Waiting>()
  /** All of them. Most connections that are closed are not among them. */
  readonly #all = new Set<Connection>()
  #isClosed = false

  /** @param intervalMilliseconds from one of an address to the next, if the first brings no whole request. */
  constructor(intervalMilliseconds: number) {
    this.#intervalMilliseconds = intervalMilliseconds
  }

  /** Reads a connection now if no other one of its address was read in this interval. Otherwise it waits. */
  add(connection: Connection): void {
    const waiting = this.#waiting.get(connection.caller)
    if (this.#isClosed) connection.read()
    else if (waiting === undefined) {
      this.#startInterval(connection.caller, { connections: [], latest: connection })
      connection.read()
    } else {
      this.#all.add(connection)
      waiting.connections.push(connection)
    }
  }

  /** A request of a connection was answered. If it is the one that was read last, the next one is read. */
  readAfter(connection: Connection): void {
    const waiting = this.#waiting.get(connection.caller)
    if (waiting?.latest === connection) this.#readNext(waiting)
  }

  /** The connection is closed. */
  remove(connection: Connection): void {
    if (!this.#all.delete(connection)) return
    const { connections } = this.#waiting.get(connection.caller) as Waiting
    connections.splice(connections.indexOf(connection), 1)
  }

  /** Closes all that wait: a server that closes does not know of them. From now on, connections are read at once. */
  close(): void {
    this.#isClosed = true
    for (const { socket } of [...this.#all]) socket.destroy()
  }

  #readNext(waiting: Waiting): void {
    const next = waiting.connections.pop()
    if (next === undefined) return
    this.#all.delete(next)
    waiting.latest = next
    next.read()
  }

  #startInterval(caller: Caller, waiting: Waiting): void {
    this.#waiting.set(caller, waiting)
    setTimeout(() => {
      if (waiting.connections.length === 0) {
        this.#waiting.delete(caller)
      } else {
        this.#readNext(waiting)
        this.#startInterval(caller, waiting)
      }
    }, this.#intervalMilliseconds).unref()
  }
}

import type { Caller, Connection } from './caller.ts'

/**
 * New connections of an address that has as many unfinished bodies as it may have. Each could bring one more body, which
 * closes the oldest. A stranger can open hundreds in a second. To read, refuse and close them takes time from other
 * callers, so they are read one by one. The newest is read first: another caller may have the same address, and its
 * connection must not wait for a thousand of the stranger's.
 */
export class UnreadConnections {
  readonly #intervalMilliseconds: number
  /** For each address the connections that wait. An address has an entry for one interval after each reading. */
  readonly #waiting = new Map<Caller, Connection[]>()
  #isClosed = false

  /** @param intervalMilliseconds from one of an address to the next, if the first brings no whole request. */
  constructor(intervalMilliseconds: number) {
    this.#intervalMilliseconds = intervalMilliseconds
  }

  /** Reads a connection now if no other one of its address was read in this interval. Otherwise it waits. */
  add(connection: Connection): void {
    const { caller } = connection
    const waiting = this.#waiting.get(caller)
    if (waiting !== undefined && !this.#isClosed) {
      waiting.push(connection)
      return
    }
    this.#startInterval(caller, [])
    connection.read()
  }

  /** Reads the newest connection of an address, because its latest one brought a whole request. */
  readNext(caller: Caller): void {
    this.#waiting.get(caller)?.pop()?.read()
  }

  /** The connection is closed. */
  remove(connection: Connection): void {
    const waiting = this.#waiting.get(connection.caller)
    const index = waiting?.indexOf(connection) ?? -1
    if (index !== -1) waiting?.splice(index, 1)
  }

  /** Closes all that wait: a server that closes does not know of them. From now on, connections are read at once. */
  close(): void {
    this.#isClosed = true
    for (const { socket } of [...this.#waiting.values()].flat()) socket.destroy()
  }

  #startInterval(caller: Caller, waiting: Connection[]): void {
    this.#waiting.set(caller, waiting)
    setTimeout(() => {
      if (waiting.length === 0) {
        this.#waiting.delete(caller)
      } else {
        this.readNext(caller)
        this.#startInterval(caller, waiting)
      }
    }, this.#intervalMilliseconds).unref()
  }
}

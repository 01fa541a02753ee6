import type { Caller, Connection } from './caller.ts'

export interface UnreadConnectionsOptions {
  /** Milliseconds from one connection of an address to the next, if the first brings no whole request. */
  readonly intervalMilliseconds: number
  /** Milliseconds after which a connection that is still unread is closed. */
  readonly keptMilliseconds: number
  readonly monotonicMilliseconds: () => number
}

interface Waiting {
  readonly connection: Connection
  /** Milliseconds on the monotonic clock. */
  readonly since: number
}

/**
 * New connections of an address that has as many connections or unfinished bodies as it may have. Each would close
 * another one, whose peer opens the next. A stranger can do that thousands of times a second. To read and close them takes
 * time from other callers, so they are read one by one. An unread one costs a file descriptor and nothing else. The newest
 * is read first: another caller may have the same address, and its connection must not wait for a thousand of the
 * stranger's.
 */
export class UnreadConnections {
  readonly #options: UnreadConnectionsOptions
  /** For each address the connections that wait. An address has an entry for one interval after each reading. */
  readonly #waiting = new Map<Caller, Waiting[]>()
  #isClosed = false

  constructor(options: UnreadConnectionsOptions) {
    this.#options = options
  }

  /**
   * Reads a connection now if no other one of its address was read in this interval. Otherwise it waits.
   * @returns whether it was read.
   */
  readOrKeep(connection: Connection): boolean {
    const { caller } = connection
    const waiting = this.#waiting.get(caller)
    if (waiting !== undefined && !this.#isClosed) {
      waiting.push({ connection, since: this.#options.monotonicMilliseconds() })
      return false
    }
    this.#startInterval(caller, [])
    connection.read()
    return true
  }

  /** Reads the newest connection of an address, because its latest one brought a whole request, or because there is room. */
  readNext(caller: Caller): void {
    this.#waiting.get(caller)?.pop()?.connection.read()
  }

  /** The connection is closed. */
  remove(connection: Connection): void {
    const waiting = this.#waiting.get(connection.caller)
    const index = waiting?.findIndex((each) => each.connection === connection) ?? -1
    if (index !== -1) waiting?.splice(index, 1)
  }

  /** Closes all that wait: a server that closes does not know of them. From now on, connections are read at once. */
  close(): void {
    this.#isClosed = true
    for (const { connection } of [...this.#waiting.values()].flat()) connection.socket.destroy()
  }

  #startInterval(caller: Caller, waiting: Waiting[]): void {
    this.#waiting.set(caller, waiting)
    setTimeout(() => {
      this.#closeOld(waiting)
      if (waiting.length === 0) {
        this.#waiting.delete(caller)
      } else {
        this.readNext(caller)
        this.#startInterval(caller, waiting)
      }
    }, this.#options.intervalMilliseconds).unref()
  }

  /** The peer may have gone: nobody hears of that before the connection is read. */
  #closeOld(waiting: Waiting[]): void {
    const now = this.#options.monotonicMilliseconds()
    const isOld = ({ since }: Waiting) => now - since >= this.#options.keptMilliseconds
    for (const { connection } of waiting.filter(isOld)) connection.socket.destroy()
  }
}

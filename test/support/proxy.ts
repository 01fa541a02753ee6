import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './ports.ts'

/** A TCP proxy in front of PostgreSQL's socket, whose faults are switched on and off. */
export class FaultyProxy {
  mode: 'pass' | 'refuse' | 'hang' | 'lose-answers' = 'pass'
  /** Called with the number of each new connection, from 1 on, before it is served. */
  onConnection: ((number: number) => void) | undefined
  #connections = 0
  /** What is sent on when `hold` is over. */
  #held: (() => void)[] | undefined
  readonly #target: string
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(target: string) {
    this.#target = target
  }

  async listen(): Promise<string> {
    const port = await freePort()
    this.#server = createServer((socket) => this.#serve(socket))
    await new Promise<void>((resolve) => this.#server?.listen(port, '127.0.0.1', resolve))
    const url = new URL(this.#target)
    url.searchParams.delete('host')
    url.hostname = '127.0.0.1'
    url.port = String(port)
    return url.href
  }

  #serve(socket: Socket): void {
    this.onConnection?.(++this.#connections)
    if (this.mode === 'refuse') {
      socket.destroy()
      return
    }
    const url = new URL(this.#target)
    const directory = url.searchParams.get('host')
    const upstream =
      directory === null ? connect(Number(url.port), url.hostname) : connect(`${directory}/.s.PGSQL.5432`)
    for (const each of [socket, upstream]) {
      this.#sockets.add(each)
      each.on('error', () => {})
      each.on('close', () => {
        socket.destroy()
        upstream.destroy()
      })
    }
    // Half open: what was lost once is never answered, on this connection.
    let lost = false
    socket.on('data', (chunk) => {
      lost ||= this.mode === 'hang'
      if (lost) return
      if (this.#held === undefined) upstream.write(chunk)
      else this.#held.push(() => upstream.write(chunk))
    })
    upstream.on('data', (chunk) => {
      if (this.mode === 'pass' && !lost) socket.write(chunk)
      // The database did its work and its answer is lost on the way.
      if (this.mode === 'lose-answers') socket.destroy()
    })
  }

  /** Keeps whatever is sent to the database, until `release`. Nothing is lost. */
  hold(): void {
    this.#held = []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const send of held) send()
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  async close(): Promise<void> {
    this.cutConnections()
    await new Promise((resolve) => this.#server?.close(resolve))
  }
}

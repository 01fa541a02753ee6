/** What the demo needs of this machine: a directory, ports, processes, and an end that leaves nothing behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

interface Started {
  readonly name: string
  readonly child: ChildProcess
  readonly endedBy: NodeJS.Signals
  readonly ended: Promise<void>
}

export class Stage {
  /** Everything that the demo writes is in here. */
  readonly directory = mkdtempSync(join(tmpdir(), 'mintmark-demo-'))
  readonly #processes: Started[] = []
  readonly #interruption = new AbortController()

  constructor() {
    // As root, the database runs as another user, who has to get in. What is secret has a mode of its own.
    chmodSync(this.directory, 0o711)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => this.#interruption.abort())
  }

  /** Whether somebody pressed Ctrl-C, or closed the terminal. */
  get isInterrupted(): boolean {
    return this.#interruption.signal.aborted
  }

  /** Does one thing, and says on the screen what it is and how long it took. */
  async step<Result>(name: string, work: () => Result | Promise<Result>): Promise<Result> {
    const startedAt = performance.now()
    const seconds = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
    const isTerminal = process.stdout.isTTY
    const show = (): void => void process.stdout.write(`\r\x1b[K  … ${name}, ${seconds()}`)
    const timer = isTerminal ? setInterval(show, 500) : undefined
    if (isTerminal) show()
    try {
      const result = await work()
      this.#interruption.signal.throwIfAborted()
      process.stdout.write(`${isTerminal ? '\r\x1b[K' : ''}  ✓ ${name.padEnd(72)} ${seconds().padStart(7)}\n`)
      return result
    } catch (error) {
      process.stdout.write(`${isTerminal ? '\r\x1b[K' : ''}  ✗ ${name}\n`)
      throw error
    } finally {
      clearInterval(timer)
    }
  }

  /**
   * Starts a program with nothing in its environment but what is given. What it writes is in `logOf(name)`. Its standard
   * input, and a channel in Node, end with this process. So a program that watches one of them ends too, also if this
   * process is killed.
   */
  start(
    name: string,
    program: string,
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
    endedBy: NodeJS.Signals = 'SIGTERM',
  ): void {
    const log = openSync(this.#logFile(name), 'a')
    const isNode = program === process.execPath
    const child = spawn(program, words, {
      env: { PATH: process.env['PATH'], ...environment },
      stdio: ['pipe', log, log, ...(isNode ? ['ipc' as const] : [])],
    })
    const ended = new Promise<void>((resolve) =>
      child.once('exit', () => resolve()).once('error', () => resolve()),
    )
    this.#processes.push({ name, child, endedBy, ended })
  }

  logOf(name: string): string {
    return readFileSync(this.#logFile(name), 'utf8')
  }

  /** Waits for something, unless the demo is interrupted or one of its processes ends. */
  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) {
      this.#interruption.signal.throwIfAborted()
      this.#demandAll()
      await sleep(100)
    }
  }

  /** Waits until somebody presses Ctrl-C. */
  async untilInterrupted(): Promise<void> {
    await this.until(() => this.isInterrupted)
  }

  /** Ends the processes that were started here, the last one first, and removes the directory. */
  async close(): Promise<void> {
    for (const { child, endedBy, ended } of this.#processes.toReversed()) {
      child.kill(endedBy)
      await ended
    }
    rmSync(this.directory, { recursive: true, force: true })
  }

  #logFile(name: string): string {
    return join(this.directory, `${name}.log`)
  }

  #demandAll(): void {
    const gone = this.#processes.find(
      ({ child }) => child.pid === undefined || child.exitCode !== null || child.signalCode !== null,
    )
    if (gone !== undefined) throw new Error(`${gone.name} has ended. It wrote:\n${this.logOf(gone.name)}`)
  }
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  return await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject).once('listening', () => {
            const { port } = server.address() as AddressInfo
            server.close(() => resolve(port))
          })
        }),
    ),
  )
}

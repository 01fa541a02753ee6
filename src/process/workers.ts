import cluster, { type Worker } from 'node:cluster'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { exitCodes, OperatorError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { Explanation } from './explain.ts'
import { watchHandover } from './handover.ts'

/**
 * The primary's part of `WORKERS`. It starts the workers (worker.ts), hands them connections in turn, replaces
 * those that end, and ends them all with itself. It answers no request, and gives them no secret: they read the
 * same environment and files as it did.
 */

/** What a worker says to its primary, once: that it listens, or why it never will. */
export type WorkerMessage = { readonly ready: true } | ({ readonly ready: false } & Explanation)

/** What the primary says to a worker. A signal might be taken for the second of two. */
export const endMessage = 'end'

/** How a worker ended. */
interface WorkerEnd {
  /** Undefined for a worker that could not even be forked. */
  readonly workerProcessId: number | undefined
  readonly code: number | null
  readonly signal: string | null
  /** What it said itself. */
  readonly explanation: Explanation | undefined
}

export class Workers {
  readonly #log: Log
  readonly #running = new Set<Worker>()
  /** One for every worker that should run; each resolves when its last worker has ended. */
  readonly #places: Promise<void>[] = []
  readonly #closing = new AbortController()

  constructor(log: Log) {
    this.#log = log
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('worker.ts', import.meta.url)),
      args: [],
      // A worker that is replaced next week has the settings of its neighbours, and not those of the file by then.
      execArgv: process.execArgv.filter((argument) => !argument.startsWith('--env-file')),
    })
    // However this process ends: a second signal and a fault wait for nobody.
    process.once('exit', () => this.#kill())
  }

  /**
   * Starts them and waits until all listen. The first one alone: what is wrong with the settings, the port or
   * the keys is then found, and said, by one.
   * @throws OperatorError with a worker's own words if it ended before it was ready.
   */
  async open(count: number): Promise<void> {
    await this.#openPlace()
    await Promise.all(Array.from({ length: count - 1 }, () => this.#openPlace()))
  }

  /** Lets them answer what is under way, and waits until the last one has ended. */
  async close(): Promise<void> {
    this.#closing.abort()
    for (const worker of this.#running) {
      if (worker.isConnected()) worker.send(endMessage)
    }
    const patience = limits.shutdownGraceMilliseconds + limits.workerEndMilliseconds
    const timer = setTimeout(() => this.#kill(), patience)
    await Promise.all(this.#places)
    clearTimeout(timer)
  }

  #openPlace(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#places.push(this.#keepFilled(resolve, reject))
    return promise
  }

  /** Runs one worker after the other in this place, with ever longer pauses if they end soon. */
  async #keepFilled(onFilled: () => void, onFailed: (error: Error) => void): Promise<void> {
    let filled = false
    let pauseMilliseconds: number = limits.workerRestartMilliseconds
    while (!this.#closing.signal.aborted) {
      const startedAt = performance.now()
      const end = await this.#run(() => {
        filled = true
        onFilled()
      }).catch(neverForked)
      if (this.#closing.signal.aborted) return
      if (!filled) return onFailed(startFailure(end))
      if (performance.now() - startedAt > limits.workerRestartMillisecondsMax)
        pauseMilliseconds = limits.workerRestartMilliseconds
      this.#logEnd(end, pauseMilliseconds)
      await sleep(pauseMilliseconds, undefined, { signal: this.#closing.signal }).catch(() => {})
      pauseMilliseconds = Math.min(2 * pauseMilliseconds, limits.workerRestartMillisecondsMax)
    }
  }

  /** One worker from its first moment to its last. */
  #run(onReady: () => void): Promise<WorkerEnd> {
    return new Promise((resolve, reject) => {
      const worker = cluster.fork()
      const workerProcessId = worker.process.pid
      const handover = watchHandover(worker.process)
      let explanation: Explanation | undefined
      if (workerProcessId !== undefined) this.#running.add(worker)
      worker.on('message', (message: WorkerMessage) => {
        if (!message.ready) {
          explanation = message
          return
        }
        this.#log.info({ event: 'worker_ready', workerProcessId }, 'a worker is ready')
        onReady()
      })
      worker.once('exit', async (code: number | null, signal: string | null) => {
        this.#running.delete(worker)
        // Its last words may still be in the channel, and whether it took its last connection.
        while (worker.isConnected()) await setImmediate()
        handover.close()
        resolve({ workerProcessId, code, signal, explanation })
      })
      worker.on('error', (error: Error) => {
        // Otherwise it is about a message to a worker that is ending, and its end is what counts.
        if (workerProcessId === undefined) reject(error)
      })
    })
  }

  #logEnd({ explanation, ...end }: WorkerEnd, pauseMilliseconds: number): void {
    const fields = {
      event: 'worker_ended',
      ...end,
      reason: explanation?.message,
      restartInMilliseconds: pauseMilliseconds,
    }
    // One that was asked to end by its own signal ends with 0.
    this.#log[end.code === 0 ? 'warn' : 'error'](fields, 'a worker ended, and is replaced')
  }

  #kill(): void {
    for (const worker of this.#running) worker.process.kill('SIGKILL')
  }
}

/** The end of a worker for which the system had no process left. */
function neverForked(error: Error): WorkerEnd {
  const explanation = {
    message: `A worker could not be started: ${error.message}.`,
    exitCode: exitCodes.failed,
  }
  return { workerProcessId: undefined, code: null, signal: null, explanation }
}

function startFailure({ code, signal, explanation }: WorkerEnd): OperatorError {
  if (explanation !== undefined)
    return new OperatorError(explanation.message, { exitCode: explanation.exitCode })
  const how = signal === null ? `exit code ${code}` : signal
  return new OperatorError(`A worker ended before it was ready, without a word: ${how}.`)
}

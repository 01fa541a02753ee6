import cluster, { type Worker } from 'node:cluster'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AdministrationError, exitCodes, OperatorError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { Explanation } from './explain.ts'
import { watchHandover } from './handover.ts'

/**
 * The primary process when `WORKERS` is above 1. It starts the workers (worker.ts), passes them connections
 * in turn, replaces workers that end, and ends all of them when it ends. It answers no request. It passes no
 * secret to the workers: they read the same environment and files as the primary.
 */

/** The one message from a worker to the primary: it listens, or its start failed for this reason. */
export type WorkerMessage = { readonly ready: true } | ({ readonly ready: false } & Explanation)

/**
 * The message that ends a worker. A signal could be the second one for this worker and would end it at once.
 */
export const endMessage = 'end'

/** The message after which a worker reads its certificate again. */
export const reloadMessage = 'reload'

/** How a worker ended. */
interface WorkerEnd {
  /** Undefined if the worker could not be forked. */
  readonly workerProcessId: number | undefined
  readonly code: number | null
  readonly signal: string | null
  /** The reason that the worker itself gave. */
  readonly explanation: Explanation | undefined
}

export class Workers {
  readonly #log: Log
  readonly #running = new Set<Worker>()
  /** One place for every worker that should run. A place resolves when its last worker has ended. */
  readonly #places: Promise<void>[] = []
  readonly #closing = new AbortController()

  constructor(log: Log) {
    this.#log = log
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('worker.ts', import.meta.url)),
      args: [],
      // Workers get the environment of the primary, not the file. So a worker that is replaced a week later
      // has the same settings as the others, even if the file has changed.
      execArgv: process.execArgv.filter((argument) => !argument.startsWith('--env-file')),
    })
    // A second signal or a fault ends this process without `close`. The workers must end then too.
    process.once('exit', () => this.#kill())
  }

  /**
   * Starts the workers and waits until all listen. The first one starts alone, so that only one worker finds
   * and reports a problem with the settings, the port or the keys.
   * @throws OperatorError with the reason given by a worker if it ended before it was ready.
   */
  async open(count: number): Promise<void> {
    await this.#openPlace()
    await Promise.all(Array.from({ length: count - 1 }, () => this.#openPlace()))
  }

  /** Lets the workers answer their current requests, and waits until the last worker has ended. */
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

  /** Every worker reads its certificate again. A worker that starts later reads it anyway. */
  reload(): void {
    for (const worker of this.#running) {
      if (worker.isConnected()) worker.send(reloadMessage)
    }
  }

  #openPlace(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#places.push(this.#keepFilled(resolve, reject))
    return promise
  }

  /** Runs one worker after another in this place. If workers end soon, the pause between them doubles. */
  async #keepFilled(onFilled: () => void, onFailed: (error: Error) => void): Promise<void> {
    let filled = false
    let pauseMilliseconds: number = limits.workerRestartMilliseconds
    while (!this.#closing.signal.aborted) {
      const startedAt = performance.now()
      const end = await this.#run(() => {
        filled = true
        onFilled()
      }).catch(forkFailure)
      if (this.#closing.signal.aborted) return
      if (!filled) return onFailed(startFailure(end))
      if (performance.now() - startedAt > limits.workerRestartMillisecondsMax)
        pauseMilliseconds = limits.workerRestartMilliseconds
      this.#logEnd(end, pauseMilliseconds)
      await sleep(pauseMilliseconds, undefined, { signal: this.#closing.signal }).catch(() => {})
      pauseMilliseconds = Math.min(2 * pauseMilliseconds, limits.workerRestartMillisecondsMax)
    }
  }

  /** Runs one worker until it has ended. */
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
        // Its last messages may still be in the channel: its reason, and its answer about the last
        // connection.
        while (worker.isConnected()) await setImmediate()
        handover.close()
        resolve({ workerProcessId, code, signal, explanation })
      })
      worker.on('error', (error: Error) => {
        // With a process id, the error is about a message to a worker that is ending. Its exit is handled
        // above.
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
    // A worker that received a signal of its own ends with 0.
    this.#log[end.code === 0 ? 'warn' : 'error'](fields, 'a worker ended and is replaced')
  }

  #kill(): void {
    for (const worker of this.#running) worker.process.kill('SIGKILL')
  }
}

/** The end of a worker that the system could not start. */
function forkFailure(error: Error): WorkerEnd {
  const explanation = {
    message: `A worker could not be started: ${error.message}.`,
    exitCode: exitCodes.failed,
  }
  return { workerProcessId: undefined, code: null, signal: null, explanation }
}

function startFailure({ code, signal, explanation }: WorkerEnd): OperatorError {
  if (explanation?.administration !== undefined) {
    const { code, fields } = explanation.administration
    return new AdministrationError(code, fields)
  }
  if (explanation !== undefined)
    return new OperatorError(explanation.message, { exitCode: explanation.exitCode })
  const how = signal === null ? `exit code ${code}` : signal
  return new OperatorError(
    `A worker ended before it was ready and gave no reason: ${how}. Its last log lines may show the reason.`,
  )
}

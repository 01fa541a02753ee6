import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import closeWithGrace from 'close-with-grace'
import { limits } from '../limits.ts'
import { describeError, type Log } from '../telemetry/log.ts'

/** Milliseconds to release the database, after the grace time of the service. */
const afterServiceMilliseconds = 15_000

/** Milliseconds that a start may still take after the process was told to end. */
const openingGraceMilliseconds = 3_000

/** Signals that a terminal or a service manager sends to every process of a group. */
export const groupSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
type GroupSignal = (typeof groupSignals)[number]

/** Other programs rotate a log or write a dump on these. Left alone, Node opens its inspector on the first. */
const ignoredSignals = ['SIGUSR1', 'SIGUSR2'] as const

/**
 * A process that runs until a signal arrives, its launcher dies, or an error is not caught. Then it closes
 * everything it has opened, in the opposite order. A second signal ends it at once.
 *
 * SIGHUP does not end it: that signal asks a service to read its files again. A terminal that is closed sends
 * the same signal. Then nobody could end the process any more, so it ends itself.
 */
export class Lifetime {
  readonly #log: Log
  readonly #closers: (() => Promise<void>)[] = []
  readonly #grace: { close(): void; uninstall(): void }
  readonly #onLauncherGone = (): void => this.end('the process that started this one is gone')
  /** Why the process ends; undefined while it runs. */
  #ending: string | undefined
  #opening: Promise<unknown> = Promise.resolve()
  #reload: (() => void) | undefined
  /** The standard streams that are a terminal. */
  readonly #terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor))

  /** @param skipped signals that the caller handles itself. */
  constructor(log: Log, skipped: readonly GroupSignal[] = []) {
    this.#log = log
    const delay = limits.shutdownGraceMilliseconds + afterServiceMilliseconds
    const logger = { error: (message: unknown) => log.error({ event: 'closing' }, String(message)) }
    this.#grace = closeWithGrace(
      { delay, logger, skip: [...skipped, 'SIGHUP', 'SIGUSR2'] },
      async ({ err, signal }) => {
        this.#ending ??= signal ?? 'a fault'
        if (err !== undefined)
          log.fatal({ event: 'crash', error: describeError(err) }, 'an error was not caught')
        else log.info({ event: 'closing', signal: this.#ending }, 'closing')
        await Promise.race([this.#opening.catch(() => {}), sleep(openingGraceMilliseconds)])
        await this.#closeAll()
        log.info({ event: 'closed' }, 'closed')
      },
    )
    if (!skipped.includes('SIGHUP')) process.on('SIGHUP', () => this.#onHangup())
    for (const signal of ignoredSignals)
      process.on(signal, () =>
        log.info({ event: 'signal_ignored', signal }, 'this signal has no meaning here'),
      )
    // This channel closes when the launcher is killed. Without it this process would never be stopped.
    if (process.channel) process.once('disconnect', this.#onLauncherGone)
  }

  /** Ends the process in order. Only the first call has an effect. */
  end(reason: string): void {
    if (this.#ending !== undefined) return
    this.#ending = reason
    this.#grace.close()
  }

  /** Registers a function that closes something that was just opened. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close)
  }

  /** Registers the function that reads files again. */
  onReload(reload: () => void): void {
    this.#reload = reload
  }

  /** Reads files again. Before the service listens, it reads them anyway. */
  reload(): void {
    if (this.#ending !== undefined) return
    if (this.#reload === undefined) this.#log.info({ event: 'reload_skipped' }, 'it has just started')
    else this.#reload()
  }

  #onHangup(): void {
    // A closed terminal no longer counts as a terminal.
    if (this.#terminals.every((descriptor) => isatty(descriptor))) this.reload()
    else this.end('the terminal is gone')
  }

  /**
   * Runs the start, and then never returns. If the start fails, closes everything that was opened and throws
   * the error. If the process was told to end during the start, no error is thrown: the failure is expected
   * then.
   */
  async run(open: () => Promise<void>): Promise<never> {
    this.#opening = open()
    try {
      await this.#opening
    } catch (error) {
      if (this.#ending !== undefined) return await forever()
      this.#ending = 'the start failed'
      this.#grace.uninstall()
      // A listener keeps the channel open, and an open channel keeps the process running.
      process.off('disconnect', this.#onLauncherGone)
      await this.#closeAll()
      throw error
    }
    return await forever()
  }

  async #closeAll(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close()
      } catch (error) {
        this.#log.error({ event: 'closing', error: describeError(error) }, 'something did not close')
      }
    }
  }
}

function forever(): Promise<never> {
  return new Promise<never>(() => {})
}

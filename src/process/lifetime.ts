import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import { limits } from '../limits.ts'
import { describeError, type Log } from '../telemetry/log.ts'

/** Milliseconds, after the service's own grace, for the database to be let go of. */
const afterServiceMilliseconds = 15_000

/** Milliseconds for a start that is under way when the end comes. */
const openingGraceMilliseconds = 3_000

/** Signals that a terminal or a service manager sends to every process of a group. */
export const groupSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
type GroupSignal = (typeof groupSignals)[number]

/**
 * A process that runs until it is told to end: by a signal, by the launcher going away, or by an error that
 * nobody caught. Whatever was opened is closed in the opposite order; a second signal ends it at once.
 */
export class Lifetime {
  readonly #log: Log
  readonly #closers: (() => Promise<void>)[] = []
  readonly #grace: { close(): void; uninstall(): void }
  readonly #abandon = (): void => this.end('whoever started this is gone')
  /** Why it ends; undefined while it does not. */
  #ending: string | undefined
  #opening: Promise<unknown> = Promise.resolve()

  /** @param skipped signals that somebody else answers. */
  constructor(log: Log, skipped: readonly GroupSignal[] = []) {
    this.#log = log
    const delay = limits.shutdownGraceMilliseconds + afterServiceMilliseconds
    const logger = { error: (message: unknown) => log.error({ event: 'closing' }, String(message)) }
    this.#grace = closeWithGrace({ delay, logger, skip: [...skipped] }, async ({ err, signal }) => {
      this.#ending ??= signal ?? 'a fault'
      if (err !== undefined)
        log.fatal({ event: 'crash', error: describeError(err) }, 'an error nobody caught')
      else log.info({ event: 'closing', signal: this.#ending }, 'closing')
      await Promise.race([this.#opening.catch(() => {}), sleep(openingGraceMilliseconds)])
      await this.#closeAll()
      log.info({ event: 'closed' }, 'closed')
    })
    // Through this channel we learn that the launcher was killed; nobody would stop us otherwise.
    if (process.channel) process.once('disconnect', this.#abandon)
  }

  /** Ends the process in order: once, however often and by whomever it is asked for. */
  end(reason: string): void {
    if (this.#ending !== undefined) return
    this.#ending = reason
    this.#grace.close()
  }

  /** Registers how to close what was just opened. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close)
  }

  /**
   * Runs the start. When it fails, closes what it had opened, and throws why; but who ended it in the middle
   * need not be told that it failed. Otherwise never ends.
   */
  async run(open: () => Promise<void>): Promise<never> {
    this.#opening = open()
    try {
      await this.#opening
    } catch (error) {
      if (this.#ending !== undefined) return await forever()
      this.#ending = 'the start failed'
      this.#grace.uninstall()
      // Listening keeps the channel open, and an open channel keeps the process from ending.
      process.off('disconnect', this.#abandon)
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

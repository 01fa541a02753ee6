import { AsyncLocalStorage } from 'node:async_hooks'
import type { Readable, Writable } from 'node:stream'

/** What a command reads and writes, where its settings come from, and who may interrupt it. */
export interface Terminal {
  /** Undefined: the environment of this process. */
  readonly environment: Readonly<Record<string, string>> | undefined
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  /**
   * Calls back when a signal asks the command to end.
   * @returns what stops that.
   */
  onSignal(callback: (signal: NodeJS.Signals) => void): () => void
}

/** The terminal of this process. */
export const processTerminal: Terminal = {
  environment: undefined,
  get stdin() {
    return process.stdin
  },
  get stdout() {
    return process.stdout
  },
  get stderr() {
    return process.stderr
  },
  onSignal(callback) {
    process.once('SIGINT', callback).once('SIGTERM', callback).once('SIGHUP', callback)
    // The channel closes when the launcher is killed. Then nobody waits for the result.
    const onLauncherGone = (): void => callback('SIGTERM')
    if (process.channel) process.once('disconnect', onLauncherGone)
    process.channel?.unref()
    return () => {
      process
        .off('SIGINT', callback)
        .off('SIGTERM', callback)
        .off('SIGHUP', callback)
        .off('disconnect', onLauncherGone)
    }
  },
}

const current = new AsyncLocalStorage<Terminal>()

/** The terminal of the command that runs. Several commands may run in one process, each with its own. */
export function terminal(): Terminal {
  return current.getStore() ?? processTerminal
}

/** Runs a command, or a part of one, at a terminal. */
export function atTerminal<Result>(its: Terminal, run: () => Promise<Result>): Promise<Result> {
  return current.run(its, run)
}

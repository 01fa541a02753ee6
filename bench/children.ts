import { type ChildProcess, type ForkOptions, fork, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/**
 * Keeps every process that the benchmark starts, so that each one is ended by its handle when the run ends or
 * fails.
 */

/** Milliseconds that a process gets to end in order. The service takes ten seconds at most. */
const endTimeoutMilliseconds = 15_000

const running = new Set<ChildProcess>()
let ending = false

/** Runs a file of the benchmark or the service in a new process, with the same Node. */
export function forkFile(
  path: string,
  fileArguments: readonly string[],
  options: ForkOptions = {},
): ChildProcess {
  const file = fileURLToPath(new URL(path, import.meta.url))
  return watch(
    fork(file, [...fileArguments], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      // The log of every server is dropped, so that logging costs the same for all of them.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      ...options,
    }),
  )
}

export function spawnProgram(
  program: string,
  programArguments: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  return watch(spawn(program, [...programArguments], options))
}

function watch(child: ChildProcess): ChildProcess {
  running.add(child)
  // The run is ending, but some code has still started a process.
  if (ending) child.kill('SIGTERM')
  child.once('exit', () => running.delete(child))
  child.once('error', () => running.delete(child))
  return child
}

export const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** Waits for the first message of a process. @throws if the process ends without a message. */
export async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const over = new AbortController()
  const options = { signal: over.signal }
  // The exit event can arrive before the last message, so the end of the channel is used instead.
  const silent = once(child, 'disconnect', options).then(() => {
    throw new Error(`${child.spawnargs.slice(1).join(' ')} ended and said nothing`)
  })
  const said = once(child, 'message', options).then(([message]) => message as Message)
  try {
    return await Promise.race([said, silent])
  } finally {
    over.abort()
  }
}

/**
 * Runs a file that sends one message and ends. The process has ended when this returns. So its CPU time is
 * accounted for, and it does not disturb the next measurement.
 */
export async function runFile<Message>(path: string, fileArguments: readonly string[]): Promise<Message> {
  const child = forkFile(path, fileArguments)
  const ended = once(child, 'exit')
  const message = await messageOf<Message>(child)
  await ended
  return message
}

/** Ends a process with SIGTERM, and with SIGKILL if it takes too long. */
export async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), endTimeoutMilliseconds)
  await ended
  clearTimeout(timer)
}

/** Ends all running processes, and every process that is started later. */
export async function endAll(): Promise<void> {
  ending = true
  await Promise.all([...running].map(end))
}

import { type ChildProcess, type ForkOptions, fork, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Every process that the benchmark starts, so that each is ended, by its own handle, however the run ends. */

/** Milliseconds that a process gets to end in order. The service takes ten seconds at most. */
const endTimeoutMilliseconds = 15_000

const running = new Set<ChildProcess>()
let ending = false

/** A file of the benchmark, or of the service, in a process of its own on the same Node. */
export function forkFile(
  path: string,
  fileArguments: readonly string[],
  options: ForkOptions = {},
): ChildProcess {
  const file = fileURLToPath(new URL(path, import.meta.url))
  return watch(
    fork(file, [...fileArguments], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      // What servers log goes nowhere, the same for all of them.
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
  // Started by something that has not heard yet that everything ends.
  if (ending) child.kill('SIGTERM')
  child.once('exit', () => running.delete(child))
  child.once('error', () => running.delete(child))
  return child
}

export const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** The first message that a process sends. @throws when it ends without one. */
export async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const over = new AbortController()
  const options = { signal: over.signal }
  // Not its exit, which may be noticed before what it said last.
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
 * Runs a file that says one thing and ends. It is gone when this returns: its CPU time is accounted for, and it takes
 * nothing from what is measured next.
 */
export async function runFile<Message>(path: string, fileArguments: readonly string[]): Promise<Message> {
  const child = forkFile(path, fileArguments)
  const ended = once(child, 'exit')
  const message = await messageOf<Message>(child)
  await ended
  return message
}

/** Ends a process in order, and by force when it takes too long. */
export async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), endTimeoutMilliseconds)
  await ended
  clearTimeout(timer)
}

/** Ends whatever runs, and whatever is started after this. */
export async function endAll(): Promise<void> {
  ending = true
  await Promise.all([...running].map(end))
}

/**
 * The one way in which tests start processes: the program of the command line, its launcher, or any other.
 *
 * A test takes these functions from its fixtures (fixtures.ts), which end what the test leaves running.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort } from './ports.ts'
import { until } from './wait.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const program = `${root}src/cli/main.ts`
export const launcher = `${root}bin/mintmark`

/** Node would report WebAssembly imports as experimental on standard error. The launcher says the same. */
const quiet = '--disable-warning=ExperimentalWarning'

/** Half of a short command's time is compiling its own source; every later command of a test run skips that. */
const compileCache = `${root}node_modules/.cache/mintmark`

/** One key-encryption key for all services of a test run, as replicas share one. */
export const sharedKey = randomBytes(32).toString('base64')

/** A process ends with an exit code, or by a signal. */
export type End = number | NodeJS.Signals | null

export interface StartOptions {
  /** Everything that stands in its environment. Nothing of ours is passed on but PATH. */
  readonly environment?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Whether it leads a group of processes, as a terminal's jobs do. */
  readonly leadsGroup?: boolean
  /** Whether it has a channel to us, as the launcher gives it one. */
  readonly hasChannel?: boolean
  /** A file that its standard output goes to. Without one we collect it. */
  readonly stdout?: number
}

export interface RunningProcess {
  readonly child: ChildProcess
  readonly processId: number
  readonly leadsGroup: boolean
  readonly stdout: () => string
  readonly stderr: () => string
  /** Standard output and standard error, in the order in which they came. */
  readonly output: () => string
  /** Resolves when it has ended. Its children may hold its output open for longer. */
  readonly ended: Promise<End>
  /** Resolves when it has ended and all its output has been read. */
  readonly outcome: Promise<Outcome>
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<End>
  /** Waits for a condition that it brings about; fails with its output if it ends before that. */
  until(condition: () => boolean | Promise<boolean>): Promise<void>
}

export interface Outcome {
  readonly code: End
  readonly stdout: string
  readonly stderr: string
}

/** Starts a program and collects what it writes. */
export function start(
  file: string,
  fileArguments: readonly string[],
  options: StartOptions = {},
): RunningProcess {
  const { environment = {}, cwd, leadsGroup = false, hasChannel = false } = options
  const spawnOptions: SpawnOptions = {
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: compileCache, ...environment },
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe', ...(hasChannel ? ['ipc' as const] : [])],
    detached: leadsGroup,
    ...(cwd === undefined ? {} : { cwd }),
  }
  const child = spawn(file, fileArguments, spawnOptions)
  const texts = { stdout: '', stderr: '', output: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk
      texts.output += chunk
    })
  }
  const ended = new Promise<End>((resolve, reject) => {
    child.once('error', reject).once('exit', (code, signal) => resolve(signal ?? code))
  })
  let isOver = false
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => {
      isOver = true
      resolve({ code: signal ?? code, stdout: texts.stdout, stderr: texts.stderr })
    })
  })
  // A program that cannot be started rejects both; a caller who asks for neither must not fail the run by that.
  for (const promise of [ended, outcome]) promise.catch(() => {})
  return {
    child,
    processId: child.pid ?? 0,
    leadsGroup,
    stdout: () => texts.stdout,
    stderr: () => texts.stderr,
    output: () => texts.output,
    ended,
    outcome,
    async end(signal) {
      child.kill(signal)
      return await ended
    },
    async until(condition) {
      await until(async () => {
        // First whether it is over: what it wrote last may be what is waited for.
        const wasOver = isOver
        if (await condition()) return true
        if (wasOver) throw new Error(`it ended with ${await ended}:\n${texts.output}`)
        return false
      })
    },
  }
}

/** Starts the program of the command line. */
export function startMintmark(
  commandArguments: readonly string[],
  options: StartOptions = {},
): RunningProcess {
  return start(process.execPath, [quiet, program, ...commandArguments], options)
}

/**
 * Runs one command of the command line as a process, with nothing in its environment but what is given. Where the process
 * is not what is tested, use `command` (command.ts).
 */
export function commandProcess(
  environment: Readonly<Record<string, string>>,
  ...commandArguments: readonly string[]
): Promise<Outcome> {
  return startMintmark(commandArguments, { environment }).outcome
}

/** The settings of a service that shares a database and a key-encryption key with others. */
export function environmentOf(
  databaseUrl: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { DATABASE_URL: databaseUrl, MINTMARK_KEY_ENCRYPTION_KEY: sharedKey, ...more }
}

export interface ServiceProcess extends RunningProcess {
  readonly url: string
}

/** Starts `serve` or `start`, on a free port unless it is given one. It is not ready yet. */
export async function startServiceProcess(
  commandArguments: readonly string[],
  options: StartOptions = {},
): Promise<ServiceProcess> {
  const port = options.environment?.['PORT'] ?? String(await freePort())
  const environment = { ...options.environment, PORT: port }
  return { ...startMintmark(commandArguments, { ...options, environment }), url: `http://127.0.0.1:${port}` }
}

/** Waits until a service says itself that it can issue. */
export function untilReady(service: ServiceProcess): Promise<void> {
  return service.until(async () => {
    const response = await fetch(`${service.url}/readyz`).catch(() => undefined)
    return response?.ok === true
  })
}

/** Ends at once what a test left running: the process, and the group that it leads. */
export async function endLeft({ child, processId, leadsGroup }: RunningProcess): Promise<void> {
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  if (processId === 0) return
  if (leadsGroup) signalGroup(processId, 'SIGKILL')
  else if (!hasEnded()) child.kill('SIGKILL')
  await until(hasEnded)
}

/** Sends a signal to every process of a group that is left. */
export function signalGroup(groupId: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-groupId, signal)
  } catch {
    // Nobody is left.
  }
}

/** Whether a process runs under this number. One that waits to be reaped by init still has its number. */
export function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0)
    // A zombie runs nothing any more.
    return process.platform !== 'linux' || readFileSync(`/proc/${processId}/cmdline`, 'utf8') !== ''
  } catch {
    return false
  }
}

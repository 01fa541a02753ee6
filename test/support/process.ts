import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort } from './service.ts'

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
export const nodeArguments = ['--disable-warning=ExperimentalWarning', program]

export interface ServiceProcess {
  readonly url: string
  readonly child: ChildProcess
  /** Everything it wrote to standard output and standard error. */
  readonly output: () => string
  /** Sends a signal and waits for the end; the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

/** One key-encryption key for all processes of a test run, as replicas share one. */
export const sharedKey = randomBytes(32).toString('base64')

export function environmentOf(databaseUrl: string, more: Record<string, string> = {}): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    DATABASE_URL: databaseUrl,
    MINTMARK_KEY_ENCRYPTION_KEY: sharedKey,
    ...more,
  }
}

/** `serve` as a process of its own, ready to answer. */
export async function serve(databaseUrl: string, more: Record<string, string> = {}): Promise<ServiceProcess> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const environment = environmentOf(databaseUrl, { PORT: String(port), ...more })
  return await startProcess(['serve'], { url, environment }, async () => {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    return response?.ok === true
  })
}

export interface ProcessOptions {
  readonly url: string
  readonly environment: NodeJS.ProcessEnv
  /** Whether it leads a group of processes, as a terminal's jobs do. Nothing ends it when the tests are interrupted. */
  readonly leadsGroup?: boolean
  /** Whether it has a channel to us, as the launcher gives it one. */
  readonly hasChannel?: boolean
}

/** `serve` or `start` as a process of its own. */
export async function startProcess(
  commandArguments: readonly string[],
  { url, environment, leadsGroup = false, hasChannel = false }: ProcessOptions,
  isReady: (output: string) => boolean | Promise<boolean>,
): Promise<ServiceProcess> {
  const child = spawn(process.execPath, [...nodeArguments, ...commandArguments], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe', ...(hasChannel ? ['ipc' as const] : [])],
    detached: leadsGroup,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code))
  })
  while (!(await isReady(output))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${output}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    url,
    child,
    output: () => output,
    async end(signal) {
      child.kill(signal)
      return await ended
    },
  }
}

/** Whether somebody runs under this number. One that waits to be reaped by init still has its number. */
export function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0)
    // A zombie runs nothing any more.
    return process.platform !== 'linux' || readFileSync(`/proc/${processId}/cmdline`, 'utf8') !== ''
  } catch {
    return false
  }
}

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The same without waiting for each other: several commands at once. @returns the exit code. */
export function startCommand(
  databaseUrl: string,
  commandArguments: readonly string[],
): Promise<number | null> {
  const child = spawn(process.execPath, [...nodeArguments, ...commandArguments], {
    env: environmentOf(databaseUrl),
    stdio: 'ignore',
  })
  return new Promise((resolve) => {
    child.once('exit', resolve)
  })
}

/** One command of the command line, start to end. */
export function runCommand(
  databaseUrl: string,
  commandArguments: readonly string[],
  more: Record<string, string> = {},
): CommandResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeArguments, ...commandArguments], {
    env: environmentOf(databaseUrl, more),
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { code: status, stdout, stderr }
}

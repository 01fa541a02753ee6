import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runFile, spawnProgram } from './children.ts'
import { bytesOf, type PreparedRequest } from './requests.ts'
import type { Certificate } from './servers.ts'

/**
 * The closed loop: each connection sends the next request when it has the answer to the last one. It measures
 * rates and CPU time. It reports no latencies, because they would mean nothing: while a server stalls, a
 * connection that waits sends no requests that would show the stall.
 */
export interface ClosedLoop {
  /** For example `http://127.0.0.1:8080`. */
  readonly origin: string
  /** Sent in turn over all connections. */
  readonly requests: readonly PreparedRequest[]
  readonly connections: number
  /** Whole seconds. */
  readonly durationSeconds: number
  /** What each connection shows. wrk has no certificates, so autocannon runs then. */
  readonly clientCertificate?: Certificate
}

/** The report of a load generator. */
export interface LoadResult {
  readonly durationSeconds: number
  /** Requests with an answer of any status. */
  readonly answered: number
  /** Refused connections, lost connections and missing answers. */
  readonly errors: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
}

export const hasWrk = spawnSync('wrk', ['--version']).error === undefined

/** @param directory for the input files of the load generator. */
export async function runClosedLoop(load: ClosedLoop, directory: string): Promise<LoadResult> {
  const own = mkdtempSync(join(directory, 'load-'))
  try {
    return hasWrk && load.clientCertificate === undefined
      ? await runWrk(load, join(own, 'requests'))
      : await runAutocannon(load, join(own, 'load.json'))
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

async function runWrk(load: ClosedLoop, path: string): Promise<LoadResult> {
  const requests = load.requests.map((request) => bytesOf(request, load.origin))
  writeFileSync(path, requests.map((bytes) => `${bytes.length}\n${bytes}`).join(''), 'latin1')
  const script = fileURLToPath(new URL('load/wrk.lua', import.meta.url))
  const child = spawnProgram(
    'wrk',
    [
      '-t1',
      `-c${load.connections}`,
      `-d${load.durationSeconds}s`,
      '--timeout=10s',
      '-s',
      script,
      load.origin,
      '--',
      path,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  const line = output.split('\n').find((text) => text.startsWith('{"durationSeconds"'))
  if (line === undefined) throw new Error(`wrk gave no result: ${output.trim().slice(0, 300)}`)
  return JSON.parse(line) as LoadResult
}

async function runAutocannon(load: ClosedLoop, path: string): Promise<LoadResult> {
  writeFileSync(path, JSON.stringify(load))
  return await runFile<LoadResult>('load/autocannon.ts', [path])
}

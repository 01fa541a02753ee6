import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runFile } from './children.ts'
import type { LoadResult } from './closed-loop.ts'
import type { PreparedRequest } from './requests.ts'

/** New TLS connections, one after the other on so many lanes (load/handshakes.ts). */
export interface Handshakes {
  readonly origin: string
  /** Without one, connections close after the handshake. */
  readonly request?: PreparedRequest
  readonly certificateFile: string
  readonly connections: number
  readonly durationSeconds: number
}

export interface HandshakesResult extends LoadResult {
  /** Version, cipher and group, and whether a session was resumed. */
  readonly negotiated: string
}

export async function runHandshakes(load: Handshakes, directory: string): Promise<HandshakesResult> {
  const own = mkdtempSync(join(directory, 'load-'))
  const path = join(own, 'load.json')
  writeFileSync(path, JSON.stringify(load))
  try {
    return await runFile<HandshakesResult>('load/handshakes.ts', [path])
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

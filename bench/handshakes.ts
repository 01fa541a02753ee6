import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runFile } from './children.ts'
import type { LoadResult } from './closed-loop.ts'
import type { PreparedRequest } from './requests.ts'
import type { Certificate } from './servers.ts'

/** Opens new TLS connections, `connections` at the same time (load/handshakes.ts). */
export interface Handshakes {
  readonly origin: string
  /** If undefined, a connection closes after the handshake. */
  readonly request?: PreparedRequest
  readonly certificateFile: string
  /** What each connection shows. */
  readonly clientCertificate?: Certificate
  readonly connections: number
  readonly durationSeconds: number
}

export interface HandshakesResult extends LoadResult {
  /** The version, the cipher, the group, and whether a session was resumed. */
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

import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** As the launcher does. */
const quiet = '--disable-warning=ExperimentalWarning'

/** Half of a short command's time is reading its own source; the second one of a test run need not. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/mintmark', import.meta.url))

export const exampleFile = fileURLToPath(new URL('../../prisma/clients.example.yaml', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command of the command line in a process of its own, with nothing in its environment but what is given. */
export function command(
  environment: Readonly<Record<string, string>>,
  ...commandArguments: readonly string[]
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [quiet, program, ...commandArguments], {
      env: { NODE_COMPILE_CACHE: compileCache, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk
    })
    child.once('error', reject).once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** A directory that is gone when the test is. */
export function scratch(): { readonly path: (name: string) => string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-cli-'))
  // Root's database runs as another user, who must get in, or its files end up elsewhere and stay.
  chmodSync(directory, 0o711)
  return {
    path: (name) => join(directory, name),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

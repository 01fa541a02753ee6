import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnProgram } from '../children.ts'

const stampFile = join(import.meta.dirname, 'node_modules', '.installed-lock')

let installed: Promise<boolean> | undefined

/**
 * Installs the packages that only the peers need, once for each state of their lock file.
 * @returns false if that failed. Then the rows about these peers are skipped.
 */
export function installPeers(say: (line: string) => void): Promise<boolean> {
  installed ??= installNow(say)
  return installed
}

async function installNow(say: (line: string) => void): Promise<boolean> {
  const lock = createHash('sha256')
    .update(readFileSync(join(import.meta.dirname, 'package-lock.json')))
    .digest('hex')
  if (readStamp() === lock) return true
  say('installing the peers in bench/peers (npm ci)')
  const child = spawnProgram(
    'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  const succeeded = await new Promise<boolean>((resolve) => {
    child.once('exit', (code) => resolve(code === 0)).once('error', () => resolve(false))
  })
  if (succeeded) writeFileSync(stampFile, lock)
  else say('npm ci failed in bench/peers; the plain build and oidc-provider are left out')
  return succeeded
}

function readStamp(): string | undefined {
  try {
    return readFileSync(stampFile, 'utf8')
  } catch {
    return undefined
  }
}

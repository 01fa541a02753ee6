import { mkdirSync, statSync } from 'node:fs'
import { chmod, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EmbeddedPostgresError, type EmbeddedPostgresErrorCode, messageOf } from './error.ts'
import { isRoot } from './server-user.ts'

/**
 * Creates a directory that the server's user may pass through, whatever the umask is. Leaves an existing
 * directory as it is.
 */
export async function createOpenDirectory(directory: string, code: EmbeddedPostgresErrorCode): Promise<void> {
  const mode = isRoot() ? 0o711 : 0o700
  try {
    if (makeDirectory(directory, mode)) await chmod(directory, mode)
  } catch (cause) {
    const message = `Cannot create the directory ${directory}: ${messageOf(cause)}`
    throw new EmbeddedPostgresError(code, message, { cause })
  }
}

/**
 * Creates a directory and its missing parents, one by one. Node's recursive mkdir never returns on a file
 * system like /proc, which answers "no such file" to every attempt to create something.
 * @returns false when the directory exists already.
 */
function makeDirectory(directory: string, mode: number): boolean {
  try {
    return makeOneDirectory(directory, mode)
  } catch (error) {
    const parent = dirname(directory)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === directory) throw error
    makeDirectory(parent, mode)
  }
  return makeOneDirectory(directory, mode)
}

function makeOneDirectory(directory: string, mode: number): boolean {
  try {
    mkdirSync(directory, { mode })
    return true
  } catch (error) {
    const exists = statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && exists) return false
    throw error
  }
}

const temporaryPrefix = '.unfinished-'

/**
 * Milliseconds after which an unfinished directory was surely left by a process that was killed. To finish
 * one takes seconds.
 */
const unfinishedAgeMilliseconds = 10 * 60_000

/**
 * A temporary directory: its content is renamed into place when it is complete. Also removes the temporary
 * directories that killed processes left.
 */
export async function createTemporary(parent: string): Promise<string> {
  try {
    for (const name of await readdir(parent)) {
      if (!name.startsWith(temporaryPrefix)) continue
      const { mtimeMs } = await stat(join(parent, name))
      if (Date.now() - mtimeMs < unfinishedAgeMilliseconds) continue
      await rm(join(parent, name), { recursive: true, force: true })
    }
    return await mkdtemp(join(parent, temporaryPrefix))
  } catch (cause) {
    const message = `Cannot write to the directory ${parent}: ${messageOf(cause)}`
    throw new EmbeddedPostgresError('cannot_write', message, { cause })
  }
}

/** A rename survives a power loss only when its directory has been written to the disk. */
export async function synchronize(directory: string): Promise<void> {
  const handle = await open(directory)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

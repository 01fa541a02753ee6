import { readFileSync, statSync } from 'node:fs'
import { link, rename, rm, rmdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { run } from './command.ts'

/** How we know a running server, and what one that is gone leaves behind: postmaster.pid and its socket. */

/** Only a part of the socket's name: the server listens on no network port. */
export const port = 5432
export const socketName = `.s.PGSQL.${port}`

/** The content of postmaster.pid. The server writes it line by line while it starts. */
export interface ServerFile {
  readonly content: string
  readonly processId: number
  readonly socketDirectory: string | undefined
  readonly ready: boolean
}

/** Milliseconds for which an empty postmaster.pid may be one that a server is writing right now. */
const emptyFileAgeMillisecondsMax = 5_000

export function readServerFile(directory: string): ServerFile | undefined {
  let content: string
  try {
    content = readFileSync(join(directory, 'postmaster.pid'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const [processId, startedIn, , , socketDirectory, , , status] = content.split('\n')
  return {
    content,
    processId: Number(processId || Number.NaN),
    // When somebody renames the directory under a running server, a socket in it moves along.
    socketDirectory: socketDirectory === startedIn ? directory : socketDirectory || undefined,
    ready: status?.startsWith('ready') ?? false,
  }
}

/**
 * Whether the process that postmaster.pid names is a server on this directory. After a crash the number may
 * belong to any other process, above all when a container was restarted.
 */
export async function isServerAlive(cluster: Cluster, file: ServerFile): Promise<boolean> {
  if (Number.isNaN(file.processId)) {
    const modified =
      statSync(join(cluster.directory, 'postmaster.pid'), { throwIfNoEntry: false })?.mtimeMs ?? 0
    return Date.now() - modified < emptyFileAgeMillisecondsMax
  }
  const command = await readCommand(file.processId)
  return isPostgres(command) && command.includes(cluster.directory)
}

/** Whether a process runs PostgreSQL, on whatever directory. */
export async function runsPostgres(processId: number): Promise<boolean> {
  return isPostgres(await readCommand(processId))
}

/** The program of a process and its arguments. Empty when there is no such process. */
async function readCommand(processId: number): Promise<readonly string[]> {
  if (process.platform === 'linux') {
    try {
      return readFileSync(`/proc/${processId}/cmdline`, 'utf8').split('\0')
    } catch {
      return []
    }
  }
  const { succeeded, output } = await run('/bin/ps', ['-o', 'args=', '-p', String(processId)], undefined)
  if (!succeeded) return []
  // ps puts spaces between the arguments, and a path may contain spaces too.
  const [program = '', directory = ''] = output.split(/ -D | -c /)
  return [program, directory]
}

function isPostgres(command: readonly string[]): boolean {
  return basename(command[0] ?? '') === 'postgres'
}

/**
 * Removes the postmaster.pid of a server that is gone. With it, a new server would refuse to start. Another
 * process may have started a server in the meantime, and then the file is that server's. So we rename the
 * file, read it again, and put it back if it has changed.
 */
export async function removeStaleFile(cluster: Cluster, stale: ServerFile): Promise<void> {
  const path = join(cluster.directory, 'postmaster.pid')
  if (readServerFile(cluster.directory)?.content !== stale.content) return
  const aside = `${path}.${process.pid}`
  try {
    await rename(path, aside)
    if (readFileSync(aside, 'utf8') !== stale.content) await link(aside, path)
  } catch {
    // Another process removed the file, or put a new one in its place.
  }
  await rm(aside, { force: true })
  await removeSocket(cluster, stale)
}

/** Removes the socket of a server that is gone, and the directory that was created for the socket. */
export async function removeSocket(
  cluster: Cluster,
  { processId, socketDirectory }: ServerFile,
): Promise<void> {
  if (!socketDirectory) return
  const socket = join(socketDirectory, socketName)
  try {
    // A starting server does not trust this number either, but instead of checking it, it gives up.
    if (Number.parseInt(readFileSync(`${socket}.lock`, 'utf8'), 10) === processId) {
      await rm(`${socket}.lock`, { force: true })
      await rm(socket, { force: true })
    }
  } catch {
    // The server removed both when it ended.
  }
  const createdForIt =
    socketDirectory !== cluster.directory && basename(socketDirectory).startsWith(`${cluster.name}-`)
  if (createdForIt) await rmdir(socketDirectory).catch(() => {})
}

import { spawn } from 'node:child_process'
import { constants, readFileSync, statSync } from 'node:fs'
import {
  chown,
  type FileHandle,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  rename,
  rm,
  rmdir,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { OperatorError } from '../errors.ts'
import type { Cluster } from './embedded-cluster.ts'
import { messageOf, run, serverEnvironment } from './embedded-platform.ts'

/** The server process of a cluster: starting, recognising and stopping it. */

/** Only part of the socket's name: the server listens on no network port. */
export const port = 5432
const socketName = `.s.PGSQL.${port}`

/** What postmaster.pid says. The server writes it line by line as it comes up. */
export interface ServerFile {
  readonly content: string
  readonly processId: number
  readonly socketDirectory: string | undefined
  readonly ready: boolean
}

const settings: Readonly<Record<string, string>> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '100',
  shared_buffers: '64MB',
  // The service's own work is small reads and group commits: helper processes for reading would only wait.
  io_method: 'sync',
  // A token is handed out once its record is durable. Said here, so that no configuration file undoes it.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  log_checkpoints: 'off',
}

/** Bytes of a log that is put aside at the next start, so that two files are all there ever is. */
const logBytesMax = 10 * 1024 * 1024

/** Milliseconds that a postmaster.pid without content may be one that is just being written. */
const emptyFileAgeMillisecondsMax = 5_000

/** Milliseconds for a stop. It writes a checkpoint, which is seconds on a slow disk. */
const stopTimeoutMilliseconds = 60_000

const pollMilliseconds = 10

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
    // A socket among the data moves with the data, when somebody renames the directory under the server.
    socketDirectory: socketDirectory === startedIn ? directory : socketDirectory || undefined,
    ready: status?.startsWith('ready') ?? false,
  }
}

export interface Launch {
  readonly processId: number | undefined
  /** Why the server ended before it was ready; undefined when it is ready. */
  readonly problem: string | undefined
}

/**
 * Starts the server and waits until it takes connections. It gets a session of its own, so that Ctrl-C in
 * the terminal ends us and not it, and it outlives us until someone asks it to stop.
 * Not through pg_ctl: that hands paths to a shell, and looks for success ten times a second only.
 * @param socketDirectory where earlier users of this cluster expect it; without one it is chosen.
 */
export async function launchServer(
  cluster: Cluster,
  extraSettings: Readonly<Record<string, string>>,
  socketDirectory: string | undefined,
  deadline: number,
): Promise<Launch> {
  const { directory, identity, programs, logFile } = cluster
  const place = await prepareSocketDirectory(cluster, socketDirectory)
  const all = { ...settings, unix_socket_directories: `"${place.replaceAll('"', '""')}"`, ...extraSettings }
  const serverArguments = [
    '-D',
    directory,
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
  const log = await openLog(cluster)
  const logOffset = (await log.stat()).size
  const child = spawn(join(programs.directory, 'bin', 'postgres'), serverArguments, {
    cwd: '/',
    env: serverEnvironment,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    ...(identity && { uid: identity.uid, gid: identity.gid }),
  })
  let ended: string | undefined
  child.once('error', (error) => {
    ended = error.message
  })
  child.once('exit', () => {
    ended ??= ''
  })
  child.unref()
  await log.close()
  while (ended === undefined && performance.now() < deadline) {
    const file = readServerFile(directory)
    if (file?.ready && file.processId === child.pid) return { processId: child.pid, problem: undefined }
    await sleep(pollMilliseconds)
  }
  if (ended !== undefined && place !== directory) await rmdir(place).catch(() => {})
  const said = readFileSync(logFile).subarray(logOffset).toString().trim().split('\n').slice(-6).join('\n')
  return { processId: child.pid, problem: ended || said || 'it did not say why' }
}

async function openLog({ logFile, identity }: Cluster): Promise<FileHandle> {
  try {
    const { size } = statSync(logFile, { throwIfNoEntry: false }) ?? { size: 0 }
    if (size > logBytesMax) await rename(logFile, `${logFile}.1`)
    // No links: when we are root and the directory is another user's, the log must not lead elsewhere.
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW
    const log = await open(logFile, flags, 0o600)
    if (identity) await log.chown(identity.uid, identity.gid)
    return log
  } catch (cause) {
    throw new OperatorError(`Cannot write the log ${logFile}: ${messageOf(cause)}`, { cause })
  }
}

/** Among the data, unless that makes a path that the system cannot address. */
async function prepareSocketDirectory(cluster: Cluster, wanted: string | undefined): Promise<string> {
  const { directory, identity } = cluster
  const pathBytesMax = process.platform === 'darwin' ? 103 : 107
  const fits = Buffer.byteLength(join(directory, socketName)) <= pathBytesMax
  if (wanted === directory || (wanted === undefined && fits)) return directory
  if (wanted === undefined) {
    // For root not its TMPDIR, which the server's user need not be able to enter.
    const made = await mkdtemp(join(identity ? '/tmp' : tmpdir(), 'mintmark-'))
    if (identity) await chown(made, identity.uid, identity.gid)
    return made
  }
  await mkdir(wanted, { mode: 0o700 }).catch(() => {})
  // In a directory for everybody, somebody else may have taken the name in the meantime.
  const { uid } = await lstat(wanted)
  if (uid !== process.getuid?.() && uid !== identity?.uid)
    throw new Error(`${wanted} belongs to user id ${uid}`)
  if (identity) await chown(wanted, identity.uid, identity.gid)
  return wanted
}

/** Removes the socket of a server that is gone, known by its process id, and the directory made for it. */
async function removeSocket(cluster: Cluster, { processId, socketDirectory }: ServerFile): Promise<void> {
  if (!socketDirectory) return
  const socket = join(socketDirectory, socketName)
  try {
    // A server trusts the number in this file as little as we do that in postmaster.pid, but gives up.
    if (Number.parseInt(readFileSync(`${socket}.lock`, 'utf8'), 10) === processId) {
      await rm(`${socket}.lock`, { force: true })
      await rm(socket, { force: true })
    }
  } catch {
    // The server removed both when it ended.
  }
  const madeForIt = socketDirectory !== cluster.directory && basename(socketDirectory).startsWith('mintmark-')
  if (madeForIt) await rmdir(socketDirectory).catch(() => {})
}

/**
 * Whether the process that postmaster.pid names is a server on this directory. After a crash, and above
 * all after a container's restart, the number may belong to anybody.
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

/** A process's program and arguments; empty when there is no such process. */
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
  // ps joins the arguments with spaces, which paths may contain too.
  const [program = '', directory = ''] = output.split(/ -D | -c /)
  return [program, directory]
}

function isPostgres(command: readonly string[]): boolean {
  return basename(command[0] ?? '') === 'postgres'
}

/**
 * Removes the postmaster.pid of a server that is gone, which would make a new one refuse to start. Renamed
 * first and looked at again: by now it may be the file of a server that another process has started.
 */
export async function removeStaleFile(cluster: Cluster, stale: ServerFile): Promise<void> {
  const path = join(cluster.directory, 'postmaster.pid')
  if (readServerFile(cluster.directory)?.content !== stale.content) return
  const aside = `${path}.${process.pid}`
  try {
    await rename(path, aside)
    if (readFileSync(aside, 'utf8') !== stale.content) await link(aside, path)
  } catch {
    // Somebody else removed it, or put theirs in its place.
  }
  await rm(aside, { force: true })
  await removeSocket(cluster, stale)
}

/** Stops the server in order and waits for it. @returns false when it still runs. */
export async function stopServer(cluster: Cluster): Promise<boolean> {
  const file = readServerFile(cluster.directory)
  if (!file) return true
  // From another container on the same volume the number means somebody else.
  if (!isPostgres(await readCommand(file.processId))) return false
  process.kill(file.processId, 'SIGINT') // "fast": ends sessions, keeps what was committed.
  const deadline = performance.now() + stopTimeoutMilliseconds
  while (readServerFile(cluster.directory)?.processId === file.processId) {
    if (performance.now() > deadline) return false
    await sleep(pollMilliseconds)
  }
  await removeSocket(cluster, file)
  return true
}

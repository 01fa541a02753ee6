import { spawn } from 'node:child_process'
import { constants, readFileSync, statSync } from 'node:fs'
import { chown, type FileHandle, lstat, mkdir, mkdtemp, open, rename, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { serverEnvironment } from './command.ts'
import { EmbeddedPostgresError, messageOf } from './error.ts'
import { readServerFile, removeSocket, runsPostgres, socketName } from './server-file.ts'

/** The server process of a cluster: how it is started and stopped. */

export type Settings = Readonly<Record<string, string>>

const ownSettings: Settings = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '100',
  shared_buffers: '64MB',
  // For small reads and small commits, helper processes that read would only add waiting.
  io_method: 'sync',
  // What is committed is durable. Arguments of the server win over its configuration files, so that no file
  // there switches this off.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  log_checkpoints: 'off',
}

/** A start renames a log with more bytes than this. So there are never more than two log files. */
const logBytesMax = 10 * 1024 * 1024

/** Milliseconds for a stop. The server writes a checkpoint, which takes seconds on a slow disk. */
const stopTimeoutMilliseconds = 60_000

const pollMilliseconds = 10

export interface Launch {
  readonly processId: number | undefined
  /** Why the server ended before it was ready. Undefined when it is ready. */
  readonly problem: string | undefined
}

/**
 * Starts the server and waits until it accepts connections. The server gets a session of its own: Ctrl-C in
 * the terminal ends us and not the server, and it runs on after us until it is asked to stop.
 * We do not use pg_ctl: it hands paths to a shell, and it looks for success only ten times a second.
 * @param socketDirectory where earlier users of this cluster expect the socket. Chosen here when undefined.
 */
export async function launchServer(
  cluster: Cluster,
  settings: Settings,
  socketDirectory: string | undefined,
  deadline: number,
): Promise<Launch> {
  const { directory, user, programs, logFile } = cluster
  const place = await prepareSocketDirectory(cluster, socketDirectory)
  const all = { ...ownSettings, unix_socket_directories: `"${place.replaceAll('"', '""')}"`, ...settings }
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
    ...(user && { uid: user.uid, gid: user.gid }),
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

async function openLog({ logFile, user }: Cluster): Promise<FileHandle> {
  try {
    const { size } = statSync(logFile, { throwIfNoEntry: false }) ?? { size: 0 }
    if (size > logBytesMax) await rename(logFile, `${logFile}.1`)
    // When we are root and the directory is another user's, a link could lead the log to any file.
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW
    const log = await open(logFile, flags, 0o600)
    if (user) await log.chown(user.uid, user.gid)
    return log
  } catch (cause) {
    const message = `Cannot write the log ${logFile}: ${messageOf(cause)}`
    throw new EmbeddedPostgresError('cannot_write', message, { cause })
  }
}

/** The socket is in the cluster's directory, unless its path would be too long for the system. */
async function prepareSocketDirectory(cluster: Cluster, wanted: string | undefined): Promise<string> {
  const { name, directory, user } = cluster
  const pathBytesMax = process.platform === 'darwin' ? 103 : 107
  const fits = Buffer.byteLength(join(directory, socketName)) <= pathBytesMax
  if (wanted === directory || (wanted === undefined && fits)) return directory
  if (wanted === undefined) {
    // Not in root's TMPDIR: the server's user may not be able to enter it.
    const created = await mkdtemp(join(user ? '/tmp' : tmpdir(), `${name}-`))
    if (user) await chown(created, user.uid, user.gid)
    return created
  }
  await mkdir(wanted, { mode: 0o700 }).catch(() => {})
  // It stands in a directory for everybody. Another user may have taken its name in the meantime.
  const { uid } = await lstat(wanted)
  if (uid !== process.getuid?.() && uid !== user?.uid) throw new Error(`${wanted} belongs to user id ${uid}`)
  if (user) await chown(wanted, user.uid, user.gid)
  return wanted
}

/** Stops the server in order and waits until it has ended. @returns false when it still runs. */
export async function stopServer(cluster: Cluster): Promise<boolean> {
  const file = readServerFile(cluster.directory)
  if (!file) return true
  // When the server runs in another container on the same volume, the number is another process here.
  if (!(await runsPostgres(file.processId))) return false
  process.kill(file.processId, 'SIGINT') // "Fast": it ends sessions and keeps what was committed.
  const deadline = performance.now() + stopTimeoutMilliseconds
  while (readServerFile(cluster.directory)?.processId === file.processId) {
    if (performance.now() > deadline) return false
    await sleep(pollMilliseconds)
  }
  await removeSocket(cluster, file)
  return true
}

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Cluster } from './cluster.ts'
import { EmbeddedPostgresError, messageOf } from './error.ts'
import { launchServer, type Settings, stopServer } from './server.ts'
import { isServerAlive, port, readServerFile, removeStaleFile, type ServerFile } from './server-file.ts'
import type { Report } from './server-user.ts'

/**
 * How several processes share one server. Each process keeps a connection, and on it a *shared* advisory
 * lock. A process that leaves gives up its shared lock and tries to get the lock *alone*. If that works,
 * nobody else uses the server, and it stops the server. A killed process loses its lock together with its
 * connection. So nothing has to be cleaned up after it: the next process uses the server that still runs.
 * The server needs a moment to see that a process is gone. Whoever leaves in that moment waits for it.
 */
export interface Session {
  readonly client: pg.Client
  readonly socketDirectory: string
  readonly serverVersion: string
  /** Whether this session started the server. */
  readonly started: boolean
}

/** The number of the lock. Any two numbers will do, but they must be the same in every release. */
const usersLock = [1_296_649_043, port] as const

/**
 * Milliseconds until we must have a session. Enough for a recovery after a power loss, and for other
 * processes that stop the server meanwhile.
 */
const joinTimeoutMilliseconds = 60_000

/**
 * Starts of the server that may fail one after the other. The pause grows four times with each: 1.7 s in
 * all. A start fails when processes of a killed server still hold memory, for example.
 */
const launchesMax = 5

/** What the server says when another process was faster. Such a start is not counted: there is a server to join. */
const otherWasFaster = /lock file "[^"]*" already exists/

const retryMilliseconds = 20

/** Milliseconds for which the lock of a process that is gone may last. After that it is a process that we cannot see. */
const goneTimeoutMilliseconds = 2_000

/** So a session names its process, for others that look whether it still runs. */
const sessionName = (cluster: Cluster, processId: number): string =>
  `${cluster.name} (user process ${processId})`
const sessionNamePattern = /\(user process (\d+)\)$/

/**
 * Gets a session on the cluster's server, and starts the server if it does not run.
 * @param socketDirectory where the socket must be, when somebody uses its address already.
 */
export async function joinServer(
  cluster: Cluster,
  settings: Settings,
  socketDirectory: string | undefined,
): Promise<Session> {
  const deadline = performance.now() + joinTimeoutMilliseconds
  let launchedProcessId: number | undefined
  let launches = 0
  let problem: unknown
  while (performance.now() < deadline) {
    const file = readServerFile(cluster.directory)
    if (file) {
      const attempt = await tryToJoin(cluster, file)
      if ('session' in attempt) return { ...attempt.session, started: file.processId === launchedProcessId }
      problem = attempt.problem
      if (attempt.absent && !(await isServerAlive(cluster, file))) await removeStaleFile(cluster, file)
      else await sleep(retryMilliseconds)
      continue
    }
    const launch = await launchServer(cluster, settings, socketDirectory, deadline)
    launchedProcessId = launch.processId
    if (launch.problem === undefined) continue
    problem = launch.problem
    if (!otherWasFaster.test(launch.problem)) launches += 1
    if (launches === launchesMax) break
    await sleep(retryMilliseconds * 4 ** Math.max(launches - 1, 0))
  }
  throw new EmbeddedPostgresError(
    'cannot_start',
    `The embedded PostgreSQL in ${cluster.directory} does not start (log: ${cluster.logFile}): ${messageOf(problem)}`,
    { cause: problem },
  )
}

type Attempt =
  | { readonly session: Omit<Session, 'started'> }
  /** `absent`: nobody listens there, or another server than the one that the file names. */
  | { readonly problem: unknown; readonly absent: boolean }

async function tryToJoin(cluster: Cluster, file: ServerFile): Promise<Attempt> {
  if (!file.socketDirectory) return { problem: new Error('The server is starting.'), absent: true }
  const client = new pg.Client({
    host: file.socketDirectory,
    port,
    user: cluster.name,
    // Not in our own database: somebody may drop and create that, and would cut this connection.
    database: 'postgres',
    ssl: false,
    application_name: sessionName(cluster, process.pid),
    connectionTimeoutMillis: 5_000,
    // If we have to wait, another process holds the lock alone and is about to stop the server.
    lock_timeout: 10_000,
  })
  // A server that ends is handled by whoever listens to "end". Without a listener, the error would end us.
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT pg_advisory_lock_shared($1, $2)', [...usersLock])
    const { rows } = await client.query<{ version: string; file: string }>(
      `SELECT current_setting('server_version') AS version, pg_read_file('postmaster.pid') AS file`,
    )
    const row = rows[0]
    if (row?.file.split('\n', 3).join() !== file.content.split('\n', 3).join()) {
      await client.end()
      return { problem: new Error('Another server answers.'), absent: true }
    }
    await createDatabase(client, cluster.name)
    const serverVersion = row.version.split(' ')[0] ?? row.version
    return { session: { client, socketDirectory: file.socketDirectory, serverVersion } }
  } catch (error) {
    await client.end().catch(() => {})
    const code = String((error as { code?: unknown }).code ?? '')
    // The server starts or stops, the lock did not come in time, the connection was cut: all this passes.
    // Anything else stays as it is.
    if (!/^(|57P0\d|55P03|ECONN\w+|EPIPE|ENOENT)$/.test(code)) {
      const message = `The embedded PostgreSQL refuses to be used: ${messageOf(error)}`
      throw new EmbeddedPostgresError('refused', message, { cause: error })
    }
    return { problem: error, absent: code === 'ENOENT' || code === 'ECONNREFUSED' }
  }
}

async function createDatabase(client: pg.Client, name: string): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name])
  if (rowCount === 1) return
  try {
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)} TEMPLATE template0`)
  } catch (error) {
    // Another process created it between the two statements.
    if (!['42P04', '23505'].includes(String((error as { code?: unknown }).code))) throw error
  }
}

/** Ends a session, and stops the server if no other process has a session on it. */
export async function leaveServer(cluster: Cluster, { client }: Session, report: Report): Promise<void> {
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1, $2)', [...usersLock])
    // While we have the lock alone, the server stops. A process that comes now waits for the lock, is cut off, and
    // starts the server again.
    if ((await lockAlone(client)) && !(await stopServer(cluster)))
      report(`The server in ${cluster.directory} did not stop.`)
  } catch {
    // The server ended before we left it.
  } finally {
    await client.end().catch(() => {})
  }
}

/** @returns false if another process uses the server. */
async function lockAlone(client: pg.Client): Promise<boolean> {
  const deadline = performance.now() + goneTimeoutMilliseconds
  for (;;) {
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1, $2) AS alone', [...usersLock])
    if (rows[0].alone) return true
    if ((await isUsed(client)) || performance.now() > deadline) return false
    await sleep(retryMilliseconds)
  }
}

/** Whether a process that runs has the lock. Only on this machine: in another container it seems to be gone. */
async function isUsed(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT application_name AS name FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND classid = $1 AND objid = $2 AND granted`,
    [...usersLock],
  )
  return rows.some(({ name }) => {
    const processId = sessionNamePattern.exec(name)?.[1]
    return processId === undefined || isRunning(Number(processId))
  })
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

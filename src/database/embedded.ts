import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { OperatorError } from '../errors.ts'
import { type Cluster, openCluster, roleName } from './embedded-cluster.ts'
import { messageOf, systemDirectoryDefault } from './embedded-platform.ts'
import {
  isServerAlive,
  launchServer,
  port,
  readServerFile,
  removeStaleFile,
  type ServerFile,
  stopServer,
} from './embedded-server.ts'

/**
 * A real PostgreSQL for whoever has none: its programs come from npm, its data lives in our data directory,
 * and it listens on a Unix socket only, so that it meets nobody else's port and nobody else's connections.
 *
 * Service and commands share one server. Each keeps a session that holds a *shared* advisory lock; who leaves
 * tries for the lock alone, and stops the server if that works. A killed process loses its lock with its
 * connection, so there is nothing to clean up after it: its server is simply used by whoever comes next.
 */
export interface EmbeddedDatabase {
  readonly url: string
  readonly serverVersion: string
  /** Whether this call created the database, started its server, or found it running. */
  readonly origin: 'created' | 'started' | 'reused'
  /** Where the data really is. */
  readonly directory: string
  /** Stops the server unless another process uses it. Close connections to it before. */
  release(): Promise<void>
}

export interface EmbeddedOptions {
  /** Told what an operator should know, in whole sentences. */
  readonly report?: (message: string) => void
  /** More settings of the server, for when this call is the one that starts it. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where root puts what the server's user could not reach otherwise. */
  readonly systemDirectory?: string
}

/** A place in the server's users, held by a connection. */
interface Session {
  readonly client: pg.Client
  readonly socketDirectory: string
  readonly serverVersion: string
  readonly started: boolean
}

const databaseName = 'mintmark'

/** Any two numbers, the same in every release: they are how users of a server know of each other. */
const usersLock = [1_296_649_043, port] as const

/** Milliseconds until a server must take us, a recovery after a power loss and others' stops included. */
const openTimeoutMilliseconds = 60_000

/**
 * Starts that may fail one after the other, each wait four times the last: 1.7 s in all. One fails when
 * another process is faster, or when processes of a killed server still hold its memory.
 */
const launchesMax = 5

const retryMilliseconds = 20
const rejoinMilliseconds = 2_000

export async function openEmbedded(
  dataDirectory: string,
  options: EmbeddedOptions = {},
): Promise<EmbeddedDatabase> {
  const report = options.report ?? (() => {})
  const cluster = await openCluster(dataDirectory, options.systemDirectory ?? systemDirectoryDefault, report)
  const settings = options.settings ?? {}
  let session = await joinServer(cluster, settings, undefined)
  const { socketDirectory, serverVersion, started } = session

  let released: Promise<void> | undefined
  let rejoined = Promise.resolve()
  // Without our lock, the next command to end would stop the server under us.
  const rejoin = async (): Promise<void> => {
    report('The connection to the embedded PostgreSQL was cut off.')
    for (let attempts = 1; !released; attempts += 1) {
      try {
        session = await joinServer(cluster, settings, socketDirectory)
        watch()
        return report(`The embedded PostgreSQL is back${session.started ? ', started again' : ''}.`)
      } catch (error) {
        if (attempts === 1) report(messageOf(error))
        await sleep(rejoinMilliseconds)
      }
    }
  }
  const watch = (): void => {
    session.client.once('end', () => {
      if (!released) rejoined = rejoin()
    })
  }
  watch()
  return {
    url: connectionUrl(socketDirectory),
    serverVersion,
    origin: cluster.created ? 'created' : started ? 'started' : 'reused',
    directory: cluster.directory,
    release() {
      released ??= rejoined.then(() => leaveServer(cluster, session, report))
      return released
    },
  }
}

/** Names port and sslmode too, so that PGPORT and PGSSLMODE of the environment do not count. */
function connectionUrl(socketDirectory: string): string {
  const host = encodeURIComponent(socketDirectory)
  return `postgresql://${roleName}@localhost:${port}/${databaseName}?host=${host}&sslmode=disable`
}

/** Gets a session on the cluster's server, and starts the server if there is none. */
async function joinServer(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  socketDirectory: string | undefined,
): Promise<Session> {
  const deadline = performance.now() + openTimeoutMilliseconds
  let launchedProcessId: number | undefined
  let launches = 0
  let problem: unknown
  while (performance.now() < deadline) {
    const file = readServerFile(cluster.directory)
    if (file) {
      const attempt = await tryToJoin(file)
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
    launches += 1
    if (launches === launchesMax) break
    await sleep(retryMilliseconds * 4 ** (launches - 1))
  }
  throw new OperatorError(
    `The embedded PostgreSQL in ${cluster.directory} does not start (log: ${cluster.logFile}): ${messageOf(problem)}`,
    { cause: problem },
  )
}

type Attempt =
  | { readonly session: Omit<Session, 'started'> }
  /** `absent`: nobody listens there, or it is not the server that the file is about. */
  | { readonly problem: unknown; readonly absent: boolean }

async function tryToJoin(file: ServerFile): Promise<Attempt> {
  if (!file.socketDirectory) return { problem: new Error('The server is coming up.'), absent: true }
  const client = new pg.Client({
    host: file.socketDirectory,
    port,
    user: roleName,
    // Not in the service's own database: a lock must not be lost when somebody recreates that.
    database: 'postgres',
    ssl: false,
    application_name: 'mintmark (user of the server)',
    connectionTimeoutMillis: 5_000,
    // Waiting means that somebody holds the lock alone, and is about to stop the server.
    lock_timeout: 10_000,
  })
  // A server that ends is met by whoever watches for the end; without this it would end our process.
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
    await createDatabase(client)
    const serverVersion = row.version.split(' ')[0] ?? row.version
    return { session: { client, socketDirectory: file.socketDirectory, serverVersion } }
  } catch (error) {
    await client.end().catch(() => {})
    const code = String((error as { code?: unknown }).code ?? '')
    // Starting, stopping, a lock not had in time, a connection cut: all pass. Anything else is final.
    if (!/^(|57P0\d|55P03|ECONN\w+|EPIPE|ENOENT)$/.test(code)) {
      throw new OperatorError(`The embedded PostgreSQL refuses to be used: ${messageOf(error)}`, {
        cause: error,
      })
    }
    return { problem: error, absent: code === 'ENOENT' || code === 'ECONNREFUSED' }
  }
}

async function createDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [databaseName])
  if (rowCount === 1) return
  try {
    await client.query(`CREATE DATABASE ${databaseName} TEMPLATE template0`)
  } catch (error) {
    // Another process created it between the two statements.
    if (!['42P04', '23505'].includes(String((error as { code?: unknown }).code))) throw error
  }
}

async function leaveServer(
  cluster: Cluster,
  session: Session,
  report: (message: string) => void,
): Promise<void> {
  const { client } = session
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1, $2)', [...usersLock])
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1, $2) AS alone', [...usersLock])
    // Stopped while we hold the lock: whoever comes now waits for it, is cut off, and starts the server anew.
    if (rows[0].alone && !(await stopServer(cluster)))
      report(`The server in ${cluster.directory} did not stop.`)
  } catch {
    // The server ended before we could leave it.
  } finally {
    await client.end().catch(() => {})
  }
}

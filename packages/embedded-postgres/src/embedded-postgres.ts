import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, openCluster } from './cluster.ts'
import { EmbeddedPostgresError, type EmbeddedPostgresErrorCode, messageOf } from './error.ts'
import type { Settings } from './server.ts'
import { port } from './server-file.ts'
import type { Report } from './server-user.ts'
import { joinServer, leaveServer, type Session } from './session.ts'

/**
 * A real PostgreSQL for a machine that has none. Its programs come from npm, and its data is in a directory.
 * It listens on a Unix socket only: it needs no port, and no other user can connect to it.
 */

export { EmbeddedPostgresError, type EmbeddedPostgresErrorCode }

export interface EmbeddedPostgresOptions {
  /** The directory for everything: the database (`postgres`) and the server's log (`postgres.log`). */
  readonly dataDirectory: string
  /**
   * The name of the database and of the role that owns it. Temporary directories begin with it. It must stay
   * the same for a data directory: another name finds no role to connect as.
   */
  readonly name: string
  /** Called with what a person should know, in whole sentences. */
  readonly report?: Report
  /** More settings of the server. They count only when this call starts the server. */
  readonly settings?: Settings
  /**
   * Where root puts what the server's user cannot reach elsewhere: the database, or a copy of the programs.
   * Default: `/var/lib/<name>`.
   */
  readonly systemDirectory?: string
}

export interface EmbeddedPostgres {
  /** For a client of PostgreSQL, such as pg. */
  readonly url: string
  readonly serverVersion: string
  /** Whether this call created the database, started its server, or found the server running. */
  readonly origin: 'created' | 'started' | 'reused'
  /** Where the database really is, with every link resolved. */
  readonly directory: string
  /** Stops the server, unless another process uses it. Close all connections to it before. */
  release(): Promise<void>
}

/** PostgreSQL writes other names only in quotes, and reserves those that begin with `pg_`. */
const namePattern = /^(?!pg_)[a-z][a-z0-9_]{0,30}$/

/** Milliseconds between two attempts to get a session again. */
const rejoinMilliseconds = 2_000

/**
 * Opens the database of a data directory. Creates the database and starts its server when needed.
 * @throws EmbeddedPostgresError when that is not possible.
 */
export async function openEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDirectory, name, report = () => {}, settings = {} } = options
  if (!namePattern.test(name)) throw new TypeError(`"${name}" is not a name of the form ${namePattern}`)
  const systemDirectory = options.systemDirectory ?? `/var/lib/${name}`
  const cluster = await openCluster({ name, dataDirectory, systemDirectory, report })
  const first = await joinServer(cluster, settings, undefined)
  const release = keepSession(cluster, first, settings, report)
  return {
    url: connectionUrl(name, first.socketDirectory),
    serverVersion: first.serverVersion,
    origin: cluster.created ? 'created' : first.started ? 'started' : 'reused',
    directory: cluster.directory,
    release,
  }
}

/** It names port and sslmode, so that PGPORT and PGSSLMODE in the environment do not count. */
function connectionUrl(name: string, socketDirectory: string): string {
  const host = encodeURIComponent(socketDirectory)
  return `postgresql://${name}@localhost:${port}/${name}?host=${host}&sslmode=disable`
}

/**
 * Gets a new session whenever the session ends, until it is released. Without a session we would hold no
 * lock, and the next process that leaves would stop the server under us.
 * @returns a function that releases the session.
 */
function keepSession(
  cluster: Cluster,
  first: Session,
  settings: Settings,
  report: Report,
): () => Promise<void> {
  let session = first
  let released: Promise<void> | undefined
  let rejoined = Promise.resolve()
  const rejoin = async (): Promise<void> => {
    report('The connection to the embedded PostgreSQL was cut off.')
    for (let attempts = 1; !released; attempts += 1) {
      try {
        session = await joinServer(cluster, settings, first.socketDirectory)
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
  return () => {
    released ??= rejoined.then(() => leaveServer(cluster, session, report))
    return released
  }
}

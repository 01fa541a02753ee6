import pg from 'pg'
import type { PrismaClient } from '../generated/client.ts'
import { limits } from '../limits.ts'
import { isUnconfirmed } from './call.ts'
import { DatabaseClient } from './client.ts'
import { DatabaseHosts, type HostsOptions } from './hosts.ts'
import { openPrisma, PrismaSessionClient } from './prisma.ts'
import { Renewal } from './renewal.ts'
import { sessionSettings } from './session.ts'

/**
 * Runs SQL as tagged templates. Values are sent as parameters, never as part of the text. A Prisma
 * transaction can run them, and a plain connection can too. A service process uses only plain connections
 * until a key is due. So it does not load the query engine of Prisma, which would take a third of its memory.
 */
export interface Statements {
  $queryRaw<Rows>(text: TemplateStringsArray, ...values: unknown[]): PromiseLike<Rows>
  /** @returns the number of changed rows. */
  $executeRaw(text: TemplateStringsArray, ...values: unknown[]): PromiseLike<number>
}

/** A Prisma client or an interactive transaction: both can run the queries of a store. */
export type Queryable = Pick<
  PrismaClient,
  | 'resource'
  | 'client'
  | 'clientKey'
  | 'clientSecret'
  | 'clientSecretUse'
  | 'clientSecretCaller'
  | 'clientSecretOverlap'
  | 'clientUse'
  | 'access'
  | 'trustedIssuer'
  | 'trustRule'
  | 'workload'
  | 'blockedWorkload'
  | 'signingKey'
  | 'verifier'
  | 'auditChain'
  | 'auditRecord'
  | '$queryRaw'
  | '$executeRaw'
>

export type Pool = pg.Pool
export type Connection = pg.PoolClient

export interface Database {
  /** For all queries that no token request waits for. */
  readonly prisma: PrismaClient
  /** Runs statements on the same connections, without Prisma. */
  readonly statements: Statements
  /** For reads during a token request: one statement and one round trip, without Prisma. */
  readonly readPool: pg.Pool
  /**
   * Only for the group commit. It has one connection, so batches stay in order and no other query delays
   * them.
   */
  readonly commitPool: pg.Pool
  /**
   * Replaces the connections that read. They stay with an old primary that a failover has left reachable.
   */
  renewReaders(): void
  close(): Promise<void>
}

export interface DatabaseOptions extends HostsOptions {
  /** Called when an idle connection breaks. The pool replaces the connection. */
  readonly onIdleError?: (error: Error) => void
  /**
   * Called when a commit was not confirmed by a synchronous standby, because somebody cancelled the wait. The commit of
   * the ledger (commit.ts) judges that itself.
   */
  readonly onUnconfirmed?: () => void
  /**
   * The time limit of a statement that no token request waits for. Absent for commands: a large change takes
   * long.
   */
  readonly statementMillisecondsMax?: number
}

/**
 * For a command no caller waits. Its user may be far from the database, where a connection takes several round trips, or at
 * a machine that is busy.
 */
const commandConnectMilliseconds = 10_000

/**
 * Creates the pools of connections to PostgreSQL. The first query opens a connection. `checkConnection`
 * (check.ts) tests the database at once. By default a pool waits without limit, so every wait gets a limit
 * here.
 */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const hosts = new DatabaseHosts(url, options)
  const { schema } = hosts.first
  const open = (
    connectionsMax: number,
    idleMilliseconds: number,
    statementMillisecondsMax: number | undefined,
    queryMillisecondsMax = statementMillisecondsMax,
    Client = DatabaseClient,
  ) =>
    new pg.Pool({
      Client,
      hosts,
      connectionTimeoutMillis:
        options.statementMillisecondsMax === undefined
          ? commandConnectMilliseconds
          : limits.databaseConnectTimeoutMilliseconds,
      max: connectionsMax,
      idleTimeoutMillis: idleMilliseconds,
      ...(queryMillisecondsMax === undefined ? {} : { query_timeout: queryMillisecondsMax }),
      onConnect: (client: DatabaseClient) =>
        client.start(sessionSettings(schema, statementMillisecondsMax), statementMillisecondsMax),
    } as unknown as pg.PoolConfig)
  // The server ends a commit that takes too long. On this side the committer watches the time
  // (database/call.ts).
  const commitPool = open(1, 0, limits.commitTimeoutMilliseconds, 0)
  const readPool = open(2, 60_000, limits.databaseReadTimeoutMilliseconds)
  const statementMax = options.statementMillisecondsMax
  const adapterPool = open(3, 10_000, statementMax, statementMax, PrismaSessionClient)
  const pools = [commitPool, readPool, adapterPool]
  const renewal = new Renewal([readPool, adapterPool])
  let closing = false
  // While the pools close, it is normal that the server ends a connection first.
  const onError = (error: Error): void => {
    if (!closing && !renewal.causes(error)) options.onIdleError?.(error)
  }
  for (const pool of pools) {
    pool.on('error', onError)
    // If a connection breaks during a query, the query fails with the error. The connection emits the same
    // error as an event, and without a listener this event would end the process.
    pool.on('connect', (client) => client.on('error', () => {}))
  }
  adapterPool.on('connect', (client) =>
    client.on('notice', (notice) => {
      if (isUnconfirmed(notice)) options.onUnconfirmed?.()
    }),
  )
  const prisma = openPrisma(adapterPool, schema)
  return {
    prisma,
    statements: statementsOf(adapterPool),
    readPool,
    commitPool,
    renewReaders: () => renewal.renew(),
    async close() {
      closing = true
      try {
        await prisma.$disconnect()
      } finally {
        await Promise.all(pools.map((pool) => pool.end()))
      }
    },
  }
}

function statementsOf(pool: pg.Pool): Statements {
  const run = (text: TemplateStringsArray, values: unknown[]) =>
    pool.query(
      text.reduce((before, after, index) => `${before}$${index}${after}`),
      values,
    )
  return {
    $queryRaw: async <Rows>(text: TemplateStringsArray, ...values: unknown[]) =>
      (await run(text, values)).rows as Rows,
    $executeRaw: async (text, ...values) => (await run(text, values)).rowCount ?? 0,
  }
}

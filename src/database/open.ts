import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from '../generated/client.ts'
import { limits } from '../limits.ts'

/**
 * Statements as tagged templates, whose values travel beside the text. A transaction of Prisma's can do that, and
 * so can a plain connection: a process that serves runs nothing else until a key is due, and never loads the
 * rest of Prisma, which would be a third of its memory.
 */
export interface Statements {
  $queryRaw<Rows>(text: TemplateStringsArray, ...values: unknown[]): PromiseLike<Rows>
  /** @returns the number of rows it changed. */
  $executeRaw(text: TemplateStringsArray, ...values: unknown[]): PromiseLike<number>
}

/** An interactive transaction, or the client itself: whatever can run a store's queries. */
export type Queryable = Pick<
  PrismaClient,
  | 'resource'
  | 'client'
  | 'clientSecret'
  | 'clientSecretUse'
  | 'access'
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
  /** For everything that is not on the path of a token. */
  readonly prisma: PrismaClient
  /** The same without Prisma. */
  readonly statements: Statements
  /** For reads on the path of a token: one statement, one round trip, no layer between. */
  readonly readPool: pg.Pool
  /** For the group commit alone: one connection, so that batches follow each other and nothing delays them. */
  readonly commitPool: pg.Pool
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** Called when an idle connection breaks; the pool replaces it by itself. */
  readonly onIdleError?: (error: Error) => void
  /** A limit for what is not on the path of a token either. Commands that change much have none. */
  readonly statementMillisecondsMax?: number
}

/**
 * Connections to PostgreSQL. Opening one is left to the first query; `checkConnection` asks now.
 * The pools' defaults would wait for ever, so every wait has a limit here.
 */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const open = (
    connectionsMax: number,
    idleMilliseconds: number,
    statementMillisecondsMax: number | undefined,
    queryMillisecondsMax = statementMillisecondsMax,
  ) =>
    new pg.Pool({
      connectionString: url,
      connectionTimeoutMillis: limits.databaseConnectTimeoutMilliseconds,
      keepAlive: true,
      application_name: 'mintmark',
      max: connectionsMax,
      idleTimeoutMillis: idleMilliseconds,
      ...(queryMillisecondsMax === undefined ? {} : { query_timeout: queryMillisecondsMax }),
      onConnect: async (client: pg.ClientBase) => {
        const text = sessionSettings(statementMillisecondsMax)
        await client.query({ text, query_timeout: statementMillisecondsMax } as pg.QueryConfig)
      },
    } as pg.PoolConfig)
  // The server ends a commit that takes too long; on this side the committer keeps the time (database/call.ts).
  const commitPool = open(1, 0, limits.commitTimeoutMilliseconds, 0)
  const readPool = open(2, 60_000, limits.databaseReadTimeoutMilliseconds)
  const adapterPool = open(3, 10_000, options.statementMillisecondsMax)
  const pools = [commitPool, readPool, adapterPool]
  let closing = false
  // While closing, a connection that the server ends first is nothing to report.
  const onError = (error: Error): void => {
    if (!closing) options.onIdleError?.(error)
  }
  for (const pool of pools) {
    pool.on('error', onError)
    // A connection that breaks while somebody holds it tells them through their query; without a listener
    // of its own the same event would end the process.
    pool.on('connect', (client) => client.on('error', () => {}))
  }
  const prisma = new PrismaClient({ adapter: new PrismaPg(adapterPool) })
  return {
    prisma,
    statements: statementsOf(adapterPool),
    readPool,
    commitPool,
    async close() {
      closing = true
      await prisma.$disconnect()
      await Promise.all(pools.map((pool) => pool.end()))
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

/**
 * What every session needs, whatever the server's, database's or role's defaults are. Each statement must see
 * what was committed while the one before it waited for a lock; a COMMIT must be on the disk when it returns;
 * and the server must give up what its client has given up, or connections and locks pile up there.
 */
function sessionSettings(statementMillisecondsMax: number | undefined): string {
  return (
    'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;' +
    `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';` +
    (statementMillisecondsMax === undefined ? '' : `SET statement_timeout = ${statementMillisecondsMax}`)
  )
}

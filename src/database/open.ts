import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { OperatorError } from '../errors.ts'
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

/** Milliseconds a start waits for a database that is still coming up (compose, a failover) before it gives in. */
const connectionPatienceMilliseconds = 10_000

/**
 * Makes sure the database answers, or says in one line why it does not.
 * Only what may pass by itself is tried again; a wrong password or name is final.
 */
export async function checkConnection(url: string): Promise<{ serverVersion: string; warnings: string[] }> {
  const deadline = performance.now() + connectionPatienceMilliseconds
  for (;;) {
    let client: pg.Client | undefined
    try {
      // In here, because it reads the files that the URL names.
      client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3_000 })
      client.on('error', () => {})
      await client.connect()
      const { rows } = await client.query(
        `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
                current_setting('fsync') AS fsync, pg_is_in_recovery() AS standby`,
      )
      return { serverVersion: rows[0].version, warnings: judgeServer(rows[0]) }
    } catch (error) {
      if (error instanceof OperatorError) throw error
      const passing = isPassing(error)
      if (!passing || performance.now() > deadline)
        throw new OperatorError(connectionProblem(url, error), { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 250))
    } finally {
      await client?.end().catch(() => {})
    }
  }
}

function judgeServer(row: { version: string; number: number; fsync: string; standby: boolean }): string[] {
  if (row.number < 140_000) {
    throw new OperatorError(`DATABASE_URL: PostgreSQL ${row.version} is too old; Mintmark needs 14 or newer.`)
  }
  if (row.standby) {
    throw new OperatorError('DATABASE_URL: this server is a standby and takes no writes; name the primary.')
  }
  return row.fsync === 'off'
    ? ['PostgreSQL runs with fsync=off: after a power loss, tokens may exist that the ledger does not know.']
    : []
}

/** Faults that a restart or failover of the server explains: 57P0x, 08xxx, 53300 and sockets. */
function isPassing(error: unknown): boolean {
  const code = errorCode(error)
  // Without a code come a wait that was too long, and a server that lacks the TLS which the URL asks for.
  if (code === '') return !(error instanceof Error && /\b(?:SSL|TLS)\b/.test(error.message))
  return /^(57P0|08|53300|ECONNREFUSED|ECONNRESET|ENOENT|ETIMEDOUT|EAI_AGAIN)/.test(code)
}

export function errorCode(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return errorCode(error.errors[0])
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** One line without the password that the URL may contain. */
function connectionProblem(url: string, error: unknown): string {
  const cause = error instanceof AggregateError ? error.errors[0] : error
  const said = cause instanceof Error ? cause.message : String(cause)
  // The driver says the same of a server that hangs up and of one that says nothing.
  const isSilence = /^(?:Connection terminated|timeout expired)/.test(said)
  const message = isSilence ? 'it hung up or gave no answer within 3 seconds' : said
  return `DATABASE_URL: cannot use the database at ${describeUrl(url)}: ${message}`
}

export function describeUrl(url: string): string {
  try {
    const { hostname, port, pathname, searchParams } = new URL(url)
    return `${searchParams.get('host') ?? hostname}${port === '' ? '' : `:${port}`}${pathname}`
  } catch {
    return 'an address that is not a URL'
  }
}

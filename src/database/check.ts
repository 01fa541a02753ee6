import { setTimeout as sleep } from 'node:timers/promises'
import { OperatorError } from '../errors.ts'
import { DatabaseClient } from './client.ts'
import { databaseFault, errorCode, firstLine, isDatabaseAway } from './faults.ts'
import { DatabaseHosts } from './hosts.ts'
import { requireMigrated } from './migrate.ts'
import { requireRights } from './rights.ts'
import { cautious, isDirect, sessionSettings } from './session.ts'

/** Checks whether the database in DATABASE_URL can be used, before anything is made or read there. */

/** Milliseconds that the first connection waits for a database that is starting too, as in compose or after a failover. */
const connectionPatienceMilliseconds = 10_000

/** Milliseconds that a start goes on trying with a database that has answered before. It may restart. */
const startPatienceMilliseconds = 30_000

/** Milliseconds between two tries. */
const tryAgainMilliseconds = 250

/** Milliseconds for each statement. A pooler takes the connection at once, and may have no session for it. */
const answerMillisecondsMax = 3_000

export interface CheckedServer {
  readonly serverVersion: string
  /** Whether a connection pooler stands before the database. */
  readonly isPooled: boolean
  /** What an operator should know, in whole sentences. */
  readonly warnings: readonly string[]
}

/**
 * What a process has to find in the database: nothing, if it makes the tables; the tables of this release; or these, and the
 * rights on them of a process that serves.
 */
export type Requirement = 'nothing' | 'tables' | 'rights'

/**
 * Connects to the database, and checks the server and what is required of its tables, all on one connection: from a machine
 * that is far away each costs several round trips. Temporary errors are tried again. Others, such as a wrong password or
 * host name, fail at once.
 * @throws OperatorError with the reason in one line.
 */
export async function checkConnection(
  url: string,
  requirement: Requirement = 'nothing',
): Promise<CheckedServer> {
  const hosts = new DatabaseHosts(url)
  let isConnected = false
  const check = async (client: DatabaseClient): Promise<CheckedServer> => {
    const { schema, warnings } = hosts.first
    const server = await judgeServer(client, schema)
    isConnected = true
    if (requirement !== 'nothing') await requireMigrated(client)
    if (requirement === 'rights') await requireRights(client, schema)
    return { ...server, warnings: [...warnings, ...server.warnings] }
  }
  const tryOnce = (): Promise<CheckedServer> => {
    isConnected = false
    return withClient(hosts, check)
  }
  try {
    return await patiently(tryOnce, isTemporary, connectionPatienceMilliseconds)
  } catch (error) {
    if (error instanceof OperatorError || (isConnected && !isTemporary(error))) throw error
    throw new OperatorError(connectionProblem(hosts, error), { cause: error })
  }
}

/**
 * Does work of a start with a database that has answered before. The work may be done again from its beginning. It is, for a
 * while, if the database cannot be reached or answers too late: one that restarts, or a machine on which everything begins
 * at once.
 * @param report called with a message for the operator after the first failure.
 */
export async function untilDatabaseAnswers<Result>(
  work: () => Promise<Result>,
  report: (message: string) => void = () => {},
): Promise<Result> {
  return await patiently(work, mayPass, startPatienceMilliseconds, (error) =>
    report(`The database does not answer (${databaseFault(error)?.message}). Trying again …`),
  )
}

/** @param onFirst called with the first error. */
async function patiently<Result>(
  work: () => Promise<Result>,
  isWorthATry: (error: unknown) => boolean,
  patienceMilliseconds: number,
  onFirst: (error: unknown) => void = () => {},
): Promise<Result> {
  const deadline = performance.now() + patienceMilliseconds
  for (let tries = 1; ; tries += 1) {
    try {
      return await work()
    } catch (error) {
      if (!isWorthATry(error) || performance.now() > deadline) throw error
      if (tries === 1) onFirst(error)
      await sleep(tryAgainMilliseconds)
    }
  }
}

async function withClient<Result>(
  hosts: DatabaseHosts,
  use: (client: DatabaseClient) => Promise<Result>,
): Promise<Result> {
  const client = new DatabaseClient({
    hosts,
    connectionTimeoutMillis: answerMillisecondsMax,
    query_timeout: answerMillisecondsMax,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}

interface ServerRow {
  readonly version: string
  readonly number: number
  readonly encoding: string
  readonly standby: boolean
  readonly read_only: boolean
  readonly replication_role: string
  readonly fsync: string
  readonly full_page_writes: string
  readonly role: string
  /** The schema that the role itself would use. */
  readonly own_schema: string | null
  readonly may_create_schema: boolean
  readonly schema_exists: boolean
  readonly may_use: boolean | null
  readonly may_create: boolean | null
  readonly migrated: boolean
}

/** All that can be wrong, in one read. */
const serverStatement = `
  SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
         current_setting('server_encoding') AS encoding, pg_catalog.pg_is_in_recovery() AS standby,
         current_setting('transaction_read_only') = 'on' AS read_only,
         current_setting('session_replication_role') AS replication_role, current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
         current_user AS role, $2::text AS own_schema,
         has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
         n.oid IS NOT NULL AS schema_exists, has_schema_privilege(n.oid, 'USAGE') AS may_use,
         has_schema_privilege(n.oid, 'CREATE') AS may_create,
         EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = '_prisma_migrations' AND relnamespace = n.oid) AS migrated
    FROM (VALUES ($1::text)) AS wanted (name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.name`

async function judgeServer(client: DatabaseClient, schema: string): Promise<CheckedServer> {
  const [row] = await readServer(client, schema)
  if (row === undefined) throw new Error('the server did not say what it is')
  const problem = problemOfServer(row) ?? problemOfSchema(row, schema)
  if (problem !== undefined) throw new OperatorError(`DATABASE_URL: ${problem}`)
  const isPooled = await client.start(sessionSettings(schema))
  return { serverVersion: row.version, isPooled, warnings: warningsOf(row) }
}

/**
 * The role may have a shorter limit than this read takes. In the session of a pooler, which is not ours, a limit is
 * set for one transaction. A pooler may also give every statement another session. Then a change and its records would
 * not be one, and it is refused.
 */
async function readServer(client: DatabaseClient, schema: string): Promise<readonly ServerRow[]> {
  const { rows } = await client.query<{ direct: boolean; own_schema: string | null }>(
    `SELECT ${isDirect(client)} AS direct, pg_catalog.current_schema() AS own_schema`,
  )
  const isPooled = rows[0]?.direct === false
  if (isPooled) await beginTransaction(client)
  await client.query(cautious(isPooled ? 'SET LOCAL' : 'SET', answerMillisecondsMax))
  const server = await client.query<ServerRow>(serverStatement, [schema, rows[0]?.own_schema])
  if (isPooled) await client.query('COMMIT')
  return server.rows
}

async function beginTransaction(client: DatabaseClient): Promise<void> {
  try {
    await client.query('BEGIN')
  } catch (error) {
    // No session for us, or none any more.
    if (isSilence(error)) throw error
    const reason = firstLine((error as Error).message)
    throw new OperatorError(
      `DATABASE_URL: the connection pooler refuses transactions (${reason}). Set its pool mode to "transaction" or ` +
        '"session", or set the URL of the database server itself.',
      { cause: error },
    )
  }
}

function problemOfServer(row: ServerRow): string | undefined {
  if (row.number < 140_000) return `PostgreSQL ${row.version} is too old. Use 14 or newer.`
  if (row.standby)
    return (
      'this server is a read-only standby. Set the URL of the primary, or name several hosts and ' +
      'target_session_attrs=read-write.'
    )
  if (row.read_only) {
    return (
      'the server lets this role read only, in a read-only transaction. Set DATABASE_URL to the primary, or end the ' +
      'read-only mode (default_transaction_read_only).'
    )
  }
  // Our own sessions could set it back, if the role may. But somebody's UPDATE in psql would go unnoticed.
  if (row.replication_role !== 'origin') {
    return (
      `session_replication_role is ${row.replication_role} here, which switches the triggers off that tell of changes. ` +
      `Run ALTER ROLE ${row.role} RESET session_replication_role, and the same with ALTER DATABASE.`
    )
  }
  // Another encoding cannot store every name, and a database without an encoding stores bytes that are not text.
  if (row.encoding !== 'UTF8') {
    return (
      `the encoding of this database is ${row.encoding}, and it must be UTF8. Create another database with ` +
      `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.`
    )
  }
  return undefined
}

function problemOfSchema(row: ServerRow, schema: string): string | undefined {
  const { role, own_schema: ownSchema } = row
  if (!row.schema_exists) {
    if (row.may_create_schema) return undefined
    return (
      `there is no schema ${schema}, and the role ${role} may not create one. Let the owner of the database run ` +
      `CREATE SCHEMA ${schema} AUTHORIZATION ${role}.`
    )
  }
  if (row.may_use !== true) return `the role ${role} may not use the schema ${schema}. Grant it USAGE.`
  if (row.migrated || row.may_create === true) return undefined
  const other =
    ownSchema !== null && ownSchema !== schema ? ` If you mean its own schema, add ?schema=${ownSchema}.` : ''
  return `the role ${role} may not create tables in the schema ${schema}. Connect with the role that is to own the tables, or grant this one CREATE on the schema.${other}`
}

function warningsOf(row: ServerRow): string[] {
  const warnings: string[] = []
  for (const name of ['fsync', 'full_page_writes'] as const) {
    if (row[name] !== 'off') continue
    warnings.push(
      `PostgreSQL runs with ${name}=off. After a power loss the ledger may lack records of tokens. Set ${name}=on.`,
    )
  }
  return warnings
}

/** A host name that does not resolve is a mistake at the start. Later it is a fault of the network. */
function isTemporary(error: unknown): boolean {
  return !(error instanceof OperatorError) && isDatabaseAway(error) && errorCode(error) !== 'ENOTFOUND'
}

/** The server may be the first to notice that a statement takes too long. */
function mayPass(error: unknown): boolean {
  if (error instanceof OperatorError) return false
  return isDatabaseAway(error) || databaseFault(error)?.code === '57014'
}

/** Describes the problem in one line, without the password that the URL may contain. */
function connectionProblem({ place, first: { tls } }: DatabaseHosts, error: unknown): string {
  const cause = error instanceof AggregateError ? error.errors[0] : error
  const reason = cause instanceof Error ? firstLine(cause.message) : String(cause)
  const message = isSilence(cause)
    ? 'it closed the connection or did not answer within 3 seconds'
    : lacksPassword(reason)
      ? 'it asks for a password, and the URL has none. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, name a ' +
        'file with the URL in DATABASE_URL_FILE, or set PGPASSWORD or PGPASSFILE'
      : // What Node adds is for who starts Node.
        reason.replace(/; if the root CA is installed locally.*/, '')
  // The server refuses a connection without TLS as an unknown host.
  const hint =
    errorCode(cause) === '28000' && tls === false && /pg_hba\.conf/.test(reason)
      ? '. If the server wants TLS, add sslmode=verify-full'
      : untrusted.test(errorCode(cause) ?? '')
        ? '. Set sslrootcert in DATABASE_URL to the file of the authority that signed the certificate of the server'
        : ''
  return `DATABASE_URL: cannot use the database at ${place}: ${message}${hint}`
}

const untrusted =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)_\w+)$/

/** The driver says the first, the server the second where it asks for MD5 or clear text. */
function lacksPassword(reason: string): boolean {
  return /client password must be a (?:non-empty )?string|empty password returned by client/i.test(reason)
}

/** The driver gives the same message for a server that closes the connection and for one that does not answer. */
function isSilence(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(?:Connection terminated|timeout expired|Query read timeout)/.test(error.message)
  )
}

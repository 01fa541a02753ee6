import pg from 'pg'
import { OperatorError } from '../errors.ts'
import type { DatabaseAddress } from './address.ts'
import { DatabaseSocket } from './look-up.ts'
import { quoted, type Settings, scopeQueries } from './pooled.ts'

/**
 * What every session of this service has, whatever the settings of the server, the database, the role or a pool are.
 * Nothing that changes how a value is read, written, found or limited may be inherited.
 *
 * Three settings are sent when a connection starts, because PgBouncer keeps them for each of its clients, also in
 * transaction mode. After that, all are set by one statement; through a pooler, by each transaction (pooled.ts).
 *
 * Left alone, because it changes nothing that we say or do: where files lie (default_tablespace), how much memory a
 * statement may have, what the planner prefers, and what the server logs. Left alone on purpose:
 * default_transaction_read_only. It is how a server is kept from being written to, after a failover for instance,
 * so it is respected, and refused at the start (check.ts).
 */

/** What a session starts with. The driver adds client_encoding=UTF8. */
export const startParameters = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  standard_conforming_strings: 'on',
} as const

const settings: Settings = {
  // How values are written and read.
  ...startParameters,
  client_encoding: 'UTF8',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  xmlbinary: 'base64',
  array_nulls: 'on',
  backslash_quote: 'safe_encoding',
  escape_string_warning: 'on',
  quote_all_identifiers: 'off',
  transform_null_equals: 'off',
  // What a statement sees and does. READ COMMITTED: a statement must see changes that were committed while the
  // previous one waited for a lock.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // A table with row-level security then refuses a role to which it would show less. With "on" it would hide clients.
  row_security: 'off',
  default_table_access_method: 'heap',
  // Another value switches our triggers off. check.ts refuses it at the start.
  session_replication_role: 'origin',
  // An error must not end the session, and no statement may be compiled for longer than it runs.
  exit_on_error: 'off',
  jit: 'off',
  client_min_messages: 'notice',
  // Limits on time. Each wait has a limit where it begins: in the pool, in a transaction, or on this side. A
  // transaction whose process hangs must end, because others wait for its locks. None of ours rests this long.
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '660s',
  idle_session_timeout: '0',
  transaction_timeout: '0',
}

/**
 * The settings of a session of ours.
 * - search_path: first, so that the rest cannot be led elsewhere. pg_temp is named, and so comes last.
 * - statement_timeout: when the client gives up a statement, the server must end it too. Otherwise connections and
 *   locks would pile up on the server.
 *
 * synchronous_commit is not among them, because its value depends on what it was: see `commitsUnsafely`.
 */
export function sessionSettings(schema: string, statementMillisecondsMax = 0): Settings {
  return {
    search_path: `${pg.escapeIdentifier(schema)}, pg_temp`,
    ...settings,
    statement_timeout: String(statementMillisecondsMax),
  }
}

/** A COMMIT must be on the disk when it returns, and on the standby that the server waits for. */
const commitsUnsafely = `current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`

/**
 * The statement that sets a session of our own. A setting that this version of PostgreSQL does not have is passed
 * over, and so is one that has the right value, because some may only be set by a superuser.
 */
export function settingsStatement({
  search_path: path,
  statement_timeout: timeout = '0',
  ...others
}: Settings): string {
  const wanted = Object.entries(others)
    .map(([name, value]) => `(${quoted(name)}, ${quoted(value)})`)
    .join(', ')
  return (
    // First, because the default may be shorter than the rest takes.
    `SET statement_timeout = ${quoted(timeout)}; SET jit = off; SET search_path = ${path}; ` +
    `SELECT set_config(name, value, false) FROM (VALUES ${wanted}) AS wanted (name, value) ` +
    `WHERE current_setting(name, true) <> value; ` +
    `SELECT set_config('synchronous_commit', 'on', false) WHERE ${commitsUnsafely}`
  )
}

/** What a session of a pooler is set to. */
interface Found {
  readonly commits_unsafely: boolean
  readonly isolation: string
  /** The settings that this version of PostgreSQL has. */
  readonly known: readonly string[]
}

/**
 * Gives a connection its settings. Behind a pooler a session is shared: its settings stay for other clients, and the
 * next statement may run in another session. Then every transaction brings its settings along, and statements have no
 * names (pooled.ts).
 * @param queryMillisecondsMax how long each of the two statements may take.
 * @returns whether a pooler stands between this process and the database.
 */
export async function startSession(
  client: pg.Client,
  wanted: Settings,
  queryMillisecondsMax: number | undefined,
): Promise<boolean> {
  const ask = async <Row extends pg.QueryResultRow>(text: string) =>
    await client.query<Row>({ text, query_timeout: queryMillisecondsMax } as pg.QueryConfig)
  const { rows } = await ask<{ direct: boolean }>(`SELECT ${isDirect(client)} AS direct`)
  if (rows[0]?.direct !== false) {
    await ask(settingsStatement(wanted))
    return false
  }
  // A text of several statements has a result for each of them.
  const results = await ask<Found>(foundStatement(Object.keys(wanted)))
  const found = (results as unknown as readonly pg.QueryResult<Found>[])
    .flatMap((result) => result.rows)
    .at(0) as Found
  const { default_transaction_isolation: isolation } = wanted
  // A transaction of one statement begins with that of the settings. Then it is too late for its isolation.
  if (isolation !== undefined && found.isolation !== isolation) {
    throw new OperatorError(
      `DATABASE_URL: it leads to a connection pooler, and the database or the role has default_transaction_isolation ` +
        `= '${found.isolation}', which cannot be changed there. Run "ALTER ROLE … SET default_transaction_isolation = ` +
        `'${isolation}'", or set the URL of the database server itself.`,
    )
  }
  const scoped = Object.entries(wanted).filter(
    ([name]) =>
      found.known.includes(name) &&
      !name.startsWith('default_transaction_') &&
      // Only a superuser may set it. check.ts refuses a wrong value.
      name !== 'session_replication_role',
  )
  if (found.commits_unsafely) scoped.push(['synchronous_commit', 'on'])
  scopeQueries(client, Object.fromEntries(scoped))
  return true
}

/** One transaction, which leaves nothing behind. Not with pg_settings, which may need a temporary file. */
function foundStatement(names: readonly string[]): string {
  return `BEGIN; ${cautious('SET LOCAL', 0)};
    SELECT ${commitsUnsafely} AS commits_unsafely, current_setting('default_transaction_isolation') AS isolation,
           ARRAY(SELECT name FROM unnest(ARRAY[${names.map(quoted).join(', ')}]) AS name
                  WHERE current_setting(name, true) IS NOT NULL) AS known;
    COMMIT`
}

/**
 * For the first statements of a connection. The search_path of the role may lead to functions, operators and types
 * of others before those of PostgreSQL, its statement_timeout may be too short, and to compile a statement may take
 * longer than to run it.
 */
export function cautious(set: 'SET' | 'SET LOCAL', statementMillisecondsMax: number): string {
  return (
    `${set} statement_timeout = ${statementMillisecondsMax}; ${set} jit = off; ` +
    `${set} search_path = pg_catalog, pg_temp`
  )
}

/**
 * SQL that is true in a session of this client's own. A pooler gives each of its clients a number that no process
 * of the database server has.
 */
export function isDirect(client: pg.ClientBase): string {
  const { processID } = client as unknown as { readonly processID: number | null }
  return `pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) ${processID ?? -1}`
}

/**
 * How the driver connects. As with libpq, PGUSER, PGPASSWORD, PGDATABASE and PGOPTIONS stand in for what the URL
 * does not say. TLS is always said.
 */
export function connectionConfig(address: DatabaseAddress): pg.ClientConfig {
  const {
    host,
    port,
    user,
    password,
    database,
    tls,
    tlsNegotiation,
    channelBinding,
    applicationName,
    options,
  } = address
  return {
    host,
    port,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database }),
    ...(options === undefined ? {} : { options }),
    ssl: tls,
    sslnegotiation: tls === false ? 'postgres' : tlsNegotiation,
    enableChannelBinding: channelBinding,
    application_name: applicationName,
    keepAlive: true,
    stream: () => new DatabaseSocket(),
  } as pg.ClientConfig
}

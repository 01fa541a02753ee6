import pg from 'pg'
import type { DatabaseAddress } from './address.ts'

/**
 * What every session of ours has, whatever the server, the database, the role or a pool is set to. Nothing that
 * changes how a value is read, written, found or limited may be inherited.
 *
 * Three settings are sent when a connection starts, because PgBouncer keeps them for each of its clients, also in
 * transaction mode. All are set by one statement after that.
 *
 * Left alone, because it changes nothing that we say or do: where files lie (default_tablespace), how much memory a
 * statement may have, what the planner prefers, and what the server logs. Left alone on purpose:
 * default_transaction_read_only. It is how a server is kept from being written to, after a failover for instance,
 * so it is respected, and refused at the start (check.ts).
 */

/** What a session starts with. The driver adds client_encoding=UTF8. */
const startParameters = { TimeZone: 'UTC', DateStyle: 'ISO, YMD', standard_conforming_strings: 'on' } as const

const settings: Readonly<Record<string, string>> = {
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
  row_security: 'on',
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
 * The statement that makes a session ours. A setting that this version of PostgreSQL does not have is passed over,
 * and so is one that has the right value, because some may only be set by a superuser.
 *
 * - statement_timeout: when the client gives up a statement, the server must end it too. Otherwise connections and
 *   locks would pile up on the server.
 * - synchronous_commit: a COMMIT must be on the disk when it returns, and on the standby that the server waits for.
 *   Only remote_apply promises more.
 * - search_path: first and by itself, so that the rest cannot be led elsewhere. pg_temp is named, and so comes last.
 */
export function sessionSettings(schema: string, statementMillisecondsMax = 0): string {
  const wanted = Object.entries({ ...settings, statement_timeout: String(statementMillisecondsMax) })
    .map(([name, value]) => `('${name}', '${value}')`)
    .join(', ')
  return (
    `SET search_path = ${pg.escapeIdentifier(schema)}, pg_temp; ` +
    `SELECT set_config(name, value, false) FROM (VALUES ${wanted}) AS wanted (name, value) ` +
    `WHERE current_setting(name, true) <> value; ` +
    `SELECT set_config('synchronous_commit', 'on', false) ` +
    `WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`
  )
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
  } as pg.ClientConfig
}

/** A client of the driver that starts sessions of ours. */
export class SessionClient extends pg.Client {
  /** Called by the driver. Its types do not describe it. */
  getStartupConf(): Record<string, string> {
    const parent = pg.Client.prototype as unknown as { getStartupConf(): Record<string, string> }
    return { ...parent.getStartupConf.call(this), ...startParameters }
  }
}

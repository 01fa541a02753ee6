import type pg from 'pg'
import { OperatorError } from '../errors.ts'
import { quoted, type Settings, scopeQueries } from './pooled.ts'

/**
 * What the statements of a connection find, whatever the server, the database and the role have as defaults.
 *
 * Reached directly, the settings are made once, for the session. Behind a pooler a session belongs to nobody:
 * what it is set to stays for others, and the next statement may run in another one. Then every transaction
 * brings its settings along, and statements have no names (pooled.ts).
 */

interface Started {
  is_direct: boolean
  commits_unsafely: boolean
  isolation: string
}

/** @returns whether a pooler stands between this process and the database. */
export async function startSession(
  client: pg.Client,
  settings: Settings,
  queryMillisecondsMax: number | undefined,
): Promise<boolean> {
  const direct = isDirect(client)
  const columns = Object.entries(settings).map(
    ([name, value]) => `CASE WHEN ${direct} THEN set_config(${quoted(name)}, ${quoted(value)}, false) END`,
  )
  const text = `
    SELECT ${direct} AS is_direct, current_setting('synchronous_commit') = 'off' AS commits_unsafely,
      current_setting('default_transaction_isolation') AS isolation,
      CASE WHEN ${direct} AND current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', false) END,
      ${columns.join(', ')}`
  const { rows } = await client.query<Started>({
    text,
    query_timeout: queryMillisecondsMax,
  } as pg.QueryConfig)
  const [row] = rows
  if (row?.is_direct !== false) return false
  const { default_transaction_isolation: isolation, ...scoped } = settings
  // A transaction of one statement begins with that of the settings. Then it is too late for its isolation.
  if (isolation !== undefined && row.isolation !== isolation) {
    throw new OperatorError(
      `DATABASE_URL: it leads to a connection pooler, and the database or the role has default_transaction_isolation ` +
        `= '${row.isolation}', which cannot be changed there. Run "ALTER ROLE … SET default_transaction_isolation = ` +
        `'${isolation}'", or set the URL of the database server itself.`,
    )
  }
  scopeQueries(client, row.commits_unsafely ? { ...scoped, synchronous_commit: 'on' } : scoped)
  return true
}

/**
 * SQL that is true in a session of this client's own. A pooler gives each of its clients a number that no process
 * of the database server has.
 */
export function isDirect(client: pg.ClientBase): string {
  const { processID } = client as unknown as { readonly processID: number | null }
  return `pg_backend_pid() = ${processID ?? -1}`
}

import type pg from 'pg'
import { OperatorError } from '../errors.ts'
import { splitHosts } from '../lib/database-hosts.ts'
import { DatabaseAddress } from './address.ts'
import { DatabaseClient } from './client.ts'
import { errorCode, firstLine, isDatabaseAway } from './faults.ts'
import { isDirect } from './session.ts'

/** Checks whether the database in DATABASE_URL can be used. */

/** Milliseconds that a start waits for a database that is starting too, as in compose or after a failover. */
const connectionPatienceMilliseconds = 10_000

export interface CheckedServer {
  readonly serverVersion: string
  /** Whether a connection pooler stands before the database. */
  readonly isPooled: boolean
  readonly warnings: string[]
}

/**
 * Connects to the database and checks the server. Temporary errors are tried again. Others, such as a wrong
 * password or host name, fail at once.
 * @throws OperatorError with the reason in one line.
 */
export async function checkConnection(url: string): Promise<CheckedServer> {
  const deadline = performance.now() + connectionPatienceMilliseconds
  for (;;) {
    let client: pg.Client | undefined
    try {
      // The constructor reads the files named in the URL, so it can fail and must be inside the `try`.
      client = new DatabaseClient({
        address: new DatabaseAddress(url),
        connectionTimeoutMillis: 3_000,
        // A pooler takes the connection at once, and may have no session for it.
        query_timeout: 3_000,
      })
      client.on('error', () => {})
      await client.connect()
      const { rows } = await client.query(
        `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
                current_setting('fsync') AS fsync, pg_is_in_recovery() AS standby, ${isDirect(client)} AS direct`,
      )
      const warnings = judgeServer(rows[0])
      const isPooled = !rows[0].direct
      if (isPooled) await requireTransactions(client)
      return { serverVersion: rows[0].version, isPooled, warnings }
    } catch (error) {
      if (error instanceof OperatorError) throw error
      if (!isTemporary(error) || performance.now() > deadline)
        throw new OperatorError(connectionProblem(url, error), { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 250))
    } finally {
      await client?.end().catch(() => {})
    }
  }
}

function judgeServer(row: { version: string; number: number; fsync: string; standby: boolean }): string[] {
  if (row.number < 140_000) {
    throw new OperatorError(`DATABASE_URL: PostgreSQL ${row.version} is too old. Use 14 or newer.`)
  }
  if (row.standby) {
    throw new OperatorError(
      'DATABASE_URL: this server is a read-only standby. Set the URL of the primary, or name several hosts and target_session_attrs=read-write.',
    )
  }
  return row.fsync === 'off'
    ? [
        'PostgreSQL runs with fsync=off. After a power loss the ledger may lack records of tokens. Set fsync=on.',
      ]
    : []
}

/** A pooler may give every statement another session. Then a change and its records would not be one. */
async function requireTransactions(client: pg.Client): Promise<void> {
  try {
    await client.query('BEGIN')
    await client.query('COMMIT')
  } catch (error) {
    const reason = firstLine((error as Error).message)
    throw new OperatorError(
      `DATABASE_URL: the connection pooler refuses transactions (${reason}). Set its pool mode to "transaction" or ` +
        '"session", or set the URL of the database server itself.',
      { cause: error },
    )
  }
}

/** A host name that does not resolve is a mistake at the start. Later it is a fault of the network. */
function isTemporary(error: unknown): boolean {
  return isDatabaseAway(error) && errorCode(error) !== 'ENOTFOUND'
}

/** Describes the problem in one line, without the password that the URL may contain. */
function connectionProblem(url: string, error: unknown): string {
  const cause = error instanceof AggregateError ? error.errors[0] : error
  const reason = cause instanceof Error ? cause.message : String(cause)
  // The driver gives the same message for a server that closes the connection and for one that does not
  // answer.
  const isSilence = /^(?:Connection terminated|timeout expired|Query read timeout)/.test(reason)
  const message = isSilence ? 'it closed the connection or did not answer within 3 seconds' : reason
  return `DATABASE_URL: cannot use the database at ${describeUrl(url)}: ${message}`
}

export function describeUrl(url: string): string {
  try {
    const { urls } = splitHosts(url) ?? { urls: [url] }
    if (urls.length > 1) return urls.map(describeUrl).join(' or ')
    const { hostname, port, pathname, searchParams } = new URL(url)
    return `${searchParams.get('host') ?? hostname}${port === '' ? '' : `:${port}`}${pathname}`
  } catch {
    return 'an address that is not a URL'
  }
}

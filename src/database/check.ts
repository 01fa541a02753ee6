import pg from 'pg'
import { OperatorError } from '../errors.ts'
import { errorCode, isDatabaseAway } from './faults.ts'

/** Whether the database that somebody named can be used. */

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
      if (!mayPass(error) || performance.now() > deadline)
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

/** A name that does not resolve is a mistake at a start, and a fault of the network later. */
function mayPass(error: unknown): boolean {
  return isDatabaseAway(error) && errorCode(error) !== 'ENOTFOUND'
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

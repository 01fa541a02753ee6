import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

export interface FreshDatabase {
  readonly url: string
  /** Runs SQL as an administrator would, beside the service. */
  query<Row extends object = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]>
  drop(): Promise<void>
}

/** What versions before 15 always do, and have no word for. */
const fileCopy = process.env['TEST_POSTGRES_MAJOR'] === '14' ? '' : 'STRATEGY FILE_COPY'

/** A migrated, empty database of its own. */
export async function freshDatabase(server = inject('postgresUrl')): Promise<FreshDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`
  // Copying the template's files costs less here than writing its pages to the log.
  const administrator = administratorOf(server)
  await administrator.query(`CREATE DATABASE ${name} TEMPLATE template_mintmark ${fileCopy}`)
  const url = withDatabase(server, name)
  const pool = openPool({ connectionString: url, max: 2 })
  return {
    url,
    async query(text, values) {
      return (await pool.query(text, values)).rows
    },
    async drop() {
      await pool.end()
      await administrator.query(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

/** A pool whose sessions may be ended by somebody, also while they end: nobody hears of it, and the test run goes on. */
export function openPool(options: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(options)
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

const administrators = new Map<string, pg.Pool>()

/** One connection of each process to a server, for all databases of its tests. A connection costs more than a database. */
function administratorOf(server: string): pg.Pool {
  let pool = administrators.get(server)
  if (pool === undefined) {
    pool = openPool({ connectionString: server, max: 1, idleTimeoutMillis: 1_000, allowExitOnIdle: true })
    administrators.set(server, pool)
  }
  return pool
}

export function withDatabase(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

export async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  // A set-up may end sessions that rest. Without a listener that would end the test run.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/**
 * How many tokens of a client were recorded after the registry's latest change, in the order in which the
 * database committed: the oracle of "in force on every replica when the transaction commits".
 */
export async function issuedSinceLatestChange(database: FreshDatabase, clientId: string): Promise<number> {
  const rows = await database.query(
    `SELECT 1 FROM audit_record
      WHERE outcome = 'issued' AND client_id = $1
        AND pg_xact_commit_timestamp(xmin) >
          (SELECT pg_xact_commit_timestamp(xmin) FROM registry_change_set ORDER BY version DESC LIMIT 1)`,
    [clientId],
  )
  return rows.length
}

/**
 * Finds sessions that wait for an advisory lock of this database. `pg_locks` shows those of all databases, and other
 * tests have locks with the same numbers in theirs.
 */
export const advisoryLockIsAwaited = `
  SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

/** Finds sessions that wait for the lock between a commit of the ledger and a change of the registry. */
export const registryLockIsAwaited = `
  SELECT 1 FROM pg_locks WHERE relation = 'registry_version'::regclass AND NOT granted
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

import type { Statements } from '../database/open.ts'
import type { ChainHead } from './chain.ts'

/** Changes that somebody made with SQL, as the triggers noted them (table `registry_unrecorded_change`). */

export interface HandChange {
  readonly changeId: string
  /** Milliseconds since 1970, by the database's clock. */
  readonly time: number
  readonly tableName: string
  readonly operation: 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE'
  /** The row before and after, without the columns that are never shown. */
  readonly before: Readonly<Record<string, unknown>> | null
  readonly after: Readonly<Record<string, unknown>> | null
  /** Columns that are never shown, and have changed. */
  readonly hidden: readonly string[]
  readonly databaseUser: string
  readonly role: string
  readonly application: string
  readonly address: string | null
}

export async function readHandChanges(
  database: Pick<Statements, '$queryRaw'>,
  limit: number,
): Promise<HandChange[]> {
  return await database.$queryRaw<HandChange[]>`
    SELECT change_id::text AS "changeId",
           floor(extract(epoch FROM CASE WHEN isfinite(changed_at) THEN changed_at ELSE clock_timestamp() END) * 1000)::float8
             AS "time",
           table_name AS "tableName", operation, before, after, hidden, database_user AS "databaseUser", role,
           application, address
      FROM registry_unrecorded_change ORDER BY change_id LIMIT ${limit}`
}

/** The number of a new chain. */
export async function reserveChain(database: Pick<Statements, '$queryRaw'>): Promise<number> {
  const [row] = await database.$queryRaw<{ chain: number }[]>`
    SELECT nextval(pg_get_serial_sequence('audit_chain', 'chain'))::int AS chain`
  if (row === undefined) throw new Error('the database gave no number')
  return row.chain
}

/** Removes the notes and writes their records. @throws if another process has taken one of them (40001). */
export async function recordHandChanges(
  database: Pick<Statements, '$executeRaw'>,
  changes: readonly HandChange[],
  { chain, hash: genesis }: ChainHead,
  openedBy: string,
  json: string,
): Promise<void> {
  const ids = changes.map(({ changeId }) => changeId)
  await database.$executeRaw`
    SELECT ledger_record_changes(${ids}::bigint[], ${chain}::int, ${genesis}, ${openedBy}, ${json}::jsonb)`
}

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Connection, Statements } from '../database/open.ts'
import { limits } from '../limits.ts'
import { type ChainHead, link } from './chain.ts'
import type { AuditRecord } from './record.ts'

/** Opens chains in the database, writes to them, and finds their last record. */

/**
 * The statement of a commit. Parameters: the registry version to check, or NULL, and the records.
 * It returns the current version of the registry. The first migration creates the function.
 */
export const ledgerCommit = { name: 'ledger_commit', text: 'SELECT ledger_commit($1::bigint, $2::jsonb)' }

/**
 * @param genesis 32 random bytes. The first record is linked to them.
 * @returns the number of the new chain.
 */
export async function openChain(database: Statements, genesis: Buffer, release: string): Promise<number> {
  const openedBy = `${hostname()} ${process.pid} mintmark/${release}`
  const [opened] = await database.$queryRaw<{ chain: number }[]>`
    INSERT INTO audit_chain (genesis, opened_by) VALUES (${genesis}, ${openedBy}) RETURNING chain`
  if (opened === undefined) throw new Error('the database opened no chain')
  return opened.chain
}

/** The last record of a chain in the database; undefined while the chain has no record. */
export async function readHead(client: Connection, chain: number): Promise<ChainHead | undefined> {
  const query = {
    text: 'SELECT seq, hash FROM audit_record WHERE chain = $1 ORDER BY seq DESC LIMIT 1',
    values: [chain],
    query_timeout: limits.commitTimeoutMilliseconds,
  }
  const { rows } = await client.query<{ seq: string; hash: Buffer }>(query)
  const [last] = rows
  return last && { chain, seq: Number(last.seq), hash: last.hash }
}

/**
 * Writes the records of a change in its transaction, as a new chain. The change and its records commit
 * together.
 */
export async function appendRecords(
  transaction: Statements,
  records: readonly AuditRecord[],
  release: string,
): Promise<void> {
  if (records.length === 0) return
  const genesis = randomBytes(32)
  const chain = await openChain(transaction, genesis, release)
  const { json } = link({ chain, seq: 0, hash: genesis }, records)
  await transaction.$executeRaw`SELECT ledger_append(${json}::jsonb)`
}

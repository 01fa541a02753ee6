import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Connection, Statements } from '../database/open.ts'
import { limits } from '../limits.ts'
import { type ChainHead, link } from './chain.ts'
import type { AuditRecord } from './record.ts'

/** Opens chains in the database, writes to them, and finds their last record. */

/**
 * The statement of a commit. Parameters: the registry version to check, or NULL; the records; and where the chain
 * ended before them: chain, number and hash in hex. It returns the current version of the registry. The first migration
 * creates the function.
 *
 * If the chain does not end there in this database, nothing is written and no value is returned: after a failover the
 * database may have lost records that were acknowledged.
 */
export const ledgerCommit = {
  name: 'ledger_commit',
  text: `SELECT ledger_commit($1::bigint, $2::jsonb)
     WHERE EXISTS (SELECT 1 FROM audit_record
                    WHERE chain = $3::int AND seq = $4::bigint AND hash = decode($5::text, 'hex'))
        OR $4 = 0 AND EXISTS (SELECT 1 FROM audit_chain WHERE chain = $3 AND genesis = decode($5, 'hex'))`,
}

/**
 * The same for records that use identifiers once, which are the last parameter. After the version it returns the places
 * of the identifiers that were used before. If there are any, nothing was written.
 */
export const ledgerCommitOnce = {
  name: 'ledger_commit_once',
  text: ledgerCommit.text.replace(
    'ledger_commit($1::bigint, $2::jsonb)',
    'ledger_commit_once($1, $2, $6::jsonb)',
  ),
}

/**
 * @param genesis 32 random bytes. The first record is linked to them.
 * @returns the number of the new chain.
 */
export async function openChain(
  database: Pick<Statements, '$queryRaw'>,
  genesis: Buffer,
  release: string,
): Promise<number> {
  const openedBy = `${hostname()} ${process.pid} mintmark/${release}`
  const [opened] = await database.$queryRaw<{ chain: number }[]>`
    INSERT INTO audit_chain (genesis, opened_by) VALUES (${genesis}, ${openedBy}) RETURNING chain`
  if (opened === undefined) throw new Error('the database opened no chain')
  return opened.chain
}

/** Like `openChain`, on the connection of the commits. */
export async function openChainOn(client: Connection, genesis: Buffer, release: string): Promise<number> {
  return await openChain(
    {
      $queryRaw: async <Rows>(text: TemplateStringsArray, ...values: unknown[]) =>
        (
          await client.query<object>({
            text: text.reduce((before, after, index) => `${before}$${index}${after}`),
            values,
            ...{ query_timeout: limits.commitTimeoutMilliseconds },
          })
        ).rows as Rows,
    },
    genesis,
    release,
  )
}

export interface FoundChain {
  /** Its last record; undefined if it has none. */
  readonly last: ChainHead | undefined
  /** Whether it has the record that was acknowledged last, or its genesis if none was. */
  readonly holds: boolean
}

/**
 * The end of a chain in the database. The comment in the statement tells database/lock-holders.ts that a commit waits
 * if this waits.
 */
export async function findChain(client: Connection, acknowledged: ChainHead): Promise<FoundChain> {
  const { chain, seq, hash } = acknowledged
  const query = {
    text: `/* for ledger_commit() */ SELECT seq, hash,
             CASE WHEN $2 = 0 THEN EXISTS (SELECT 1 FROM audit_chain WHERE chain = $1 AND genesis = $3)
             ELSE EXISTS (SELECT 1 FROM audit_record WHERE chain = $1 AND seq = $2 AND hash = $3) END AS holds
        FROM (SELECT 1) AS one LEFT JOIN LATERAL
             (SELECT seq, hash FROM audit_record WHERE chain = $1 ORDER BY seq DESC LIMIT 1) last ON true`,
    values: [chain, seq, hash],
    query_timeout: limits.commitTimeoutMilliseconds,
  }
  const { rows } = await client.query<{ holds: boolean; seq: string | null; hash: Buffer | null }>(query)
  const [found] = rows
  if (found === undefined) throw new Error('the database did not say where the chain ends')
  const last =
    found.seq === null || found.hash === null ? undefined : { seq: Number(found.seq), hash: found.hash }
  return { last: last && { chain, ...last }, holds: found.holds }
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

import type { Database, Queryable } from '../database/open.ts'
import { type AuditRecord as AuditRow, Prisma } from '../generated/client.ts'
import { type AuditEntry, type AuditFilter, timeRange } from './query.ts'
import { type AuditRecord, recordColumns } from './record.ts'

/** Reads records from the ledger. */

/**
 * Milliseconds. A search without an indexed field looks at the shortest span first and stops when it has
 * found enough. The index on time is small and answers only ranges. Without a range, the database would read
 * a billion records to find the newest fifty.
 */
const spans = [900_000, 14_400_000, 172_800_000, 2_592_000_000]

/** The newest records that match, oldest first. */
export async function findRecords(
  database: Queryable,
  filter: AuditFilter,
  limit: number,
  nowMilliseconds: number,
): Promise<AuditEntry[]> {
  const end = filter.until ?? nowMilliseconds
  const indexed = filter.clientId !== undefined || filter.jti !== undefined
  for (const span of indexed ? [] : spans) {
    const start = end - span
    // The range of the filter itself is searched last, after this loop.
    if (filter.since !== undefined && start <= filter.since) break
    const rows = await findNewest(database, { ...filter, since: start }, limit)
    if (rows.length === limit) return rows
  }
  return await findNewest(database, filter, limit)
}

async function findNewest(database: Queryable, filter: AuditFilter, limit: number): Promise<AuditEntry[]> {
  const { type, outcome, clientId, jti } = filter
  const { from, before } = timeRange(filter)
  const rows = await database.auditRecord.findMany({
    where: {
      ...(type === undefined ? {} : { type }),
      ...(outcome === undefined ? {} : { outcome }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(jti === undefined ? {} : { jti }),
      time: { gte: new Date(from), lt: new Date(before) },
    },
    orderBy: [{ time: 'desc' }, { chain: 'desc' }, { seq: 'desc' }],
    take: limit,
  })
  return rows.reverse().map(toEntry)
}

/** Converts a row of `audit_record`. Prisma gives its columns the names of a record's fields. */
function toEntry(row: AuditRow): AuditEntry {
  const record: Record<string, unknown> = {}
  for (const field of Object.keys(recordColumns) as (keyof AuditRecord)[]) {
    const value = row[field]
    if (value !== null) record[field] = value
  }
  return {
    ...(record as unknown as AuditRecord),
    chain: row.chain,
    seq: Number(row.seq),
    hash: Buffer.from(row.hash).toString('hex'),
    time: row.time.getTime(),
    ...(row.expiresAt === null ? {} : { expiresAt: Math.floor(row.expiresAt.getTime() / 1000) }),
    ...(row.detail === null ? {} : { detail: JSON.parse(row.detail) as Record<string, unknown> }),
  }
}

// ── Following the ledger (follow.ts) ───────────────────────────────────────────────────────────────────

/**
 * Runs several reads on one snapshot of the database, so that no record is missed or read twice between them.
 */
export async function readTogether<Result>(
  database: Database,
  read: (snapshot: Queryable) => Promise<Result>,
): Promise<Result> {
  return await database.prisma.$transaction(read, { isolationLevel: 'RepeatableRead', timeout: 600_000 })
}

export interface UnfinishedChain {
  readonly chain: number
  /** The number of its last record; null while it has no record. */
  readonly seq: bigint | null
}

/**
 * Chains that may still grow: the chains of services that have not stopped, and new chains without a record.
 */
export async function findUnfinishedChains(snapshot: Queryable): Promise<UnfinishedChain[]> {
  return await snapshot.$queryRaw<UnfinishedChain[]>`
    SELECT c.chain, last.seq FROM audit_chain c
      LEFT JOIN LATERAL (SELECT seq, type, outcome FROM audit_record r
        WHERE r.chain = c.chain ORDER BY seq DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (SELECT type FROM audit_record r WHERE r.chain = c.chain AND r.seq = 1) first ON true
     WHERE CASE WHEN last.seq IS NULL THEN c.opened_at > now() - interval '1 day'
           ELSE coalesce(first.type, 'service') = 'service'
            AND (last.type, last.outcome) IS DISTINCT FROM ('service', 'stopped') END`
}

/** The numbers of the latest thousand chains, ascending. */
export async function findLatestChains(snapshot: Queryable): Promise<number[]> {
  const rows = await snapshot.$queryRaw<{ chain: number }[]>`
    SELECT chain FROM audit_chain WHERE chain > (SELECT max(chain) FROM audit_chain) - 1000 ORDER BY chain`
  return rows.map(({ chain }) => chain)
}

/** The numbers of all chains above `highest`, and of the chains in `gaps` that exist by now, ascending. */
export async function findChainsAfter(
  database: Queryable,
  highest: number,
  gaps: readonly number[],
): Promise<number[]> {
  const rows = await database.$queryRaw<{ chain: number }[]>`
    SELECT chain FROM audit_chain WHERE chain > ${highest}::int OR chain = ANY(${gaps}::int[]) ORDER BY chain`
  return rows.map(({ chain }) => chain)
}

const columns = Prisma.raw(
  Object.entries({ chain: 'chain', seq: 'seq', ...recordColumns, hash: 'hash' })
    .map(([field, column]) => `r.${column}${column === 'jti' ? '::text' : ''} AS "${field}"`)
    .join(', '),
)

/** The records after the given place in each chain, ordered by chain and number. */
export async function findRecordsAfter(
  database: Queryable,
  places: readonly { readonly chain: number; readonly seq: number }[],
  limit: number,
): Promise<AuditEntry[]> {
  const rows = await database.$queryRaw<AuditRow[]>`
    SELECT ${columns}
      FROM jsonb_to_recordset(${JSON.stringify(places)}::jsonb) AS p (chain int, seq bigint)
     CROSS JOIN LATERAL (SELECT * FROM audit_record a
           WHERE a.chain = p.chain AND a.seq > p.seq ORDER BY a.seq LIMIT ${limit}::int) AS r
     ORDER BY r.chain, r.seq LIMIT ${limit}::int`
  return rows.map(toEntry)
}

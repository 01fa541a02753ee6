import type { Database, Queryable } from '../database/open.ts'
import { type AuditRecord as AuditRow, Prisma } from '../generated/client.ts'
import type { RecordPlace } from './cursor.ts'
import { type AuditEntry, type AuditFilter, timeRange } from './query.ts'
import { type AuditRecord, recordColumns } from './record.ts'
import { readDetail } from './record-fields.ts'

/** Reads records from the ledger. */

/**
 * Milliseconds. A search without an indexed field looks at the shortest span first and stops when it has
 * found enough. The index on time is small and answers only ranges. Without a range, the database would read
 * a billion records to find the newest fifty.
 */
const spans = [900_000, 14_400_000, 172_800_000, 2_592_000_000]

/**
 * The newest records that match, oldest first. With a place to begin after, the first ones after it.
 */
export async function findRecords(
  database: Queryable,
  filter: AuditFilter,
  limit: number,
  nowMilliseconds: number,
): Promise<AuditEntry[]> {
  const indexed = filter.clientId !== undefined || filter.jti !== undefined
  if (filter.afterPlace !== undefined) return await findFirst(database, filter, limit, indexed ? [] : spans)
  const end = Math.min(filter.until ?? nowMilliseconds, (filter.beforePlace?.time ?? nowMilliseconds) + 1)
  for (const span of indexed ? [] : spans) {
    const start = end - span
    // The range of the filter itself is searched last, after this loop.
    if (filter.since !== undefined && start <= filter.since) break
    const rows = await findSorted(database, { ...filter, since: start }, limit, 'desc')
    if (rows.length === limit) return rows.reverse()
  }
  return (await findSorted(database, filter, limit, 'desc')).reverse()
}

/** The first records after a place. The shortest span is searched first here, too. */
async function findFirst(
  database: Queryable,
  filter: AuditFilter,
  limit: number,
  spans: readonly number[],
): Promise<AuditEntry[]> {
  for (const span of spans) {
    const end = timeRange(filter).from + span
    if (filter.until !== undefined && end >= filter.until) break
    const rows = await findSorted(database, { ...filter, until: end }, limit, 'asc')
    if (rows.length === limit) return rows
  }
  return await findSorted(database, filter, limit, 'asc')
}

/** The condition for records before or after a place. */
function beside(comparison: 'lt' | 'gt', { time, chain, seq }: RecordPlace) {
  const moment = new Date(time)
  return {
    OR: [
      { time: { [comparison]: moment } },
      { time: moment, chain: { [comparison]: chain } },
      { time: moment, chain, seq: { [comparison]: BigInt(seq) } },
    ],
  }
}

async function findSorted(
  database: Queryable,
  filter: AuditFilter,
  limit: number,
  order: 'asc' | 'desc',
): Promise<AuditEntry[]> {
  const { type, outcome, clientId, jti, beforePlace, afterPlace } = filter
  const { from, before } = timeRange(filter)
  const rows = await database.auditRecord.findMany({
    where: {
      ...(type === undefined ? {} : { type }),
      ...(outcome === undefined ? {} : { outcome }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(jti === undefined ? {} : { jti }),
      time: { gte: new Date(from), lt: new Date(before) },
      AND: [
        ...(beforePlace === undefined ? [] : [beside('lt', beforePlace)]),
        ...(afterPlace === undefined ? [] : [beside('gt', afterPlace)]),
      ],
    },
    orderBy: [{ time: order }, { chain: order }, { seq: order }],
    take: limit,
  })
  return await withCommitTimes(database, rows.map(toEntry))
}

/** The records of a change have one stamp, which their chain keeps. */
const committedAt = Prisma.raw(
  `to_char(coalesce(c.committed_at, r.committed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
)

const columns = Prisma.raw(
  Object.entries({ chain: 'chain', seq: 'seq', ...recordColumns, hash: 'hash' })
    .map(([field, column]) => `r.${column}${column === 'jti' ? '::text' : ''} AS "${field}"`)
    .join(', '),
)

/** Nothing stands at a number that a hand wrote and that has no exact value here. */
function placesText(places: readonly { readonly chain: number; readonly seq: number }[]): string {
  return JSON.stringify(
    places.map(({ chain, seq }) => ({ chain, seq: Number.isSafeInteger(seq) ? seq : null })),
  )
}

/**
 * Each place is looked up by itself, in the primary key. LIMIT keeps the database from making joins of the lookups: in
 * a ledger without statistics it would choose one that reads a whole chain for each place.
 */
async function withCommitTimes(database: Queryable, entries: readonly AuditEntry[]): Promise<AuditEntry[]> {
  if (entries.length === 0) return []
  const places = placesText(entries)
  const rows = await database.$queryRaw<{ chain: number; seq: bigint; at: string | null }[]>`
    SELECT p.chain, p.seq, ${committedAt} AS at
      FROM jsonb_to_recordset(${places}::jsonb) AS p (chain int, seq bigint)
     CROSS JOIN LATERAL (SELECT committed_at FROM audit_record a
           WHERE a.chain = p.chain AND a.seq = p.seq LIMIT 1) AS r
     CROSS JOIN LATERAL (SELECT committed_at FROM audit_chain a WHERE a.chain = p.chain LIMIT 1) AS c`
  const times = new Map(rows.map(({ chain, seq, at }) => [`${chain} ${seq}`, at ?? undefined]))
  return entries.map((entry) => ({ ...entry, committedAt: times.get(`${entry.chain} ${entry.seq}`) }))
}

/** Adds the hashes that the records are linked to. Absent if the record before is missing. LIMIT: as above. */
export async function withPreviousHashes(
  database: Queryable,
  entries: readonly AuditEntry[],
): Promise<AuditEntry[]> {
  if (entries.length === 0) return []
  const places = placesText(entries)
  const rows = await database.$queryRaw<{ chain: number; seq: bigint; previous: string | null }[]>`
    SELECT p.chain, p.seq, encode(coalesce(r.hash, c.genesis), 'hex') AS previous
      FROM jsonb_to_recordset(${places}::jsonb) AS p (chain int, seq bigint)
      LEFT JOIN LATERAL (SELECT hash FROM audit_record a
            WHERE a.chain = p.chain AND a.seq = p.seq - 1 LIMIT 1) AS r ON true
      LEFT JOIN LATERAL (SELECT genesis FROM audit_chain a
            WHERE a.chain = p.chain AND p.seq = 1 LIMIT 1) AS c ON true`
  const hashes = new Map(rows.map(({ chain, seq, previous }) => [`${chain} ${seq}`, previous ?? undefined]))
  return entries.map((entry) => ({ ...entry, previousHash: hashes.get(`${entry.chain} ${entry.seq}`) }))
}

/** Converts a row of `audit_record`. Prisma gives its columns the names of a record's fields. */
function toEntry(row: Omit<AuditRow, 'committedAt'>): AuditEntry {
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
    ...(row.detail === null ? {} : { detail: readDetail(row.detail) }),
  }
}

/** The records of requests, by their ids. The range of time keeps the database from reading the whole ledger. */
export async function findByRequestIds(
  database: Queryable,
  requestIds: readonly string[],
  sinceMilliseconds: number,
): Promise<AuditEntry[]> {
  const rows = await database.auditRecord.findMany({
    where: { requestId: { in: [...requestIds] }, time: { gte: new Date(sinceMilliseconds) } },
  })
  return rows.map(toEntry)
}

/** The changes of the registry and the keys that were committed at a moment or later, in any order. */
export async function findChangesSince(database: Queryable, moment: string): Promise<AuditEntry[]> {
  return await findChanges(database, Prisma.sql`${moment}::timestamptz`)
}

/** The same, committed in the last seconds by the clock of the database. */
export async function findChangesOfLast(database: Queryable, seconds: number): Promise<AuditEntry[]> {
  return await findChanges(database, Prisma.sql`clock_timestamp() - ${seconds}::float8 * interval '1 second'`)
}

/** OFFSET keeps the database from choosing a join that reads the whole ledger. */
async function findChanges(database: Queryable, since: Prisma.Sql): Promise<AuditEntry[]> {
  const rows = await database.$queryRaw<(Omit<AuditRow, 'committedAt'> & { at: string | null })[]>`
    SELECT ${columns}, ${committedAt} AS at
      FROM audit_chain c
     CROSS JOIN LATERAL (SELECT * FROM audit_record a WHERE a.chain = c.chain OFFSET 0) AS r
     WHERE c.committed_at >= ${since}`
  return rows.map((row) => ({ ...toEntry(row), committedAt: row.at ?? undefined }))
}

// ── Exporting the ledger (export.ts) ───────────────────────────────────────────────────────────────────

/** How a chain begins. */
export interface ChainBeginning {
  readonly chain: number
  /** Hex. */
  readonly genesis: string
  readonly openedAt: string
  readonly openedBy: string
}

/** The beginnings of the first chains after one. */
export async function findChainBeginnings(
  database: Queryable,
  afterChain: number,
  limit: number,
): Promise<ChainBeginning[]> {
  return await database.$queryRaw<ChainBeginning[]>`
    SELECT chain, encode(genesis, 'hex') AS genesis, opened_by AS "openedBy",
           to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "openedAt"
      FROM audit_chain WHERE chain > ${afterChain}::int ORDER BY chain LIMIT ${limit}::int`
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

/** As far as the column goes. A hand may have written a number there that has no exact value here. */
const bounded = (places: readonly { readonly chain: number; readonly seq: number }[]): string =>
  JSON.stringify(
    places.map(({ chain, seq }) => ({
      chain,
      seq: Number.isSafeInteger(seq) ? seq : seq > 0 ? '9223372036854775807' : '-9223372036854775808',
    })),
  )

/** The records after the given place in each chain, ordered by chain and number. */
export async function findRecordsAfter(
  database: Queryable,
  places: readonly { readonly chain: number; readonly seq: number }[],
  limit: number,
): Promise<AuditEntry[]> {
  const rows = await database.$queryRaw<(Omit<AuditRow, 'committedAt'> & { at: string | null })[]>`
    SELECT ${columns}, ${committedAt} AS at
      FROM jsonb_to_recordset(${bounded(places)}::jsonb) AS p (chain int, seq bigint)
     CROSS JOIN LATERAL (SELECT * FROM audit_record a
           WHERE a.chain = p.chain AND a.seq > p.seq ORDER BY a.seq LIMIT ${limit}::int) AS r
      JOIN audit_chain c ON c.chain = r.chain
     ORDER BY r.chain, r.seq LIMIT ${limit}::int`
  return rows.map((row) => ({ ...toEntry(row), committedAt: row.at ?? undefined }))
}

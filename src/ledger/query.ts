// biome-ignore-all lint/style/noRestrictedGlobals: a row holds its moments as Date; no clock is read here.
import type { Queryable } from '../database/open.ts'
import type { AuditRecord } from './record.ts'
import { millisecondsOf } from './token-id.ts'

/** The ledger, read back. */
export interface AuditEntry extends AuditRecord {
  readonly chain: number
  readonly seq: number
  /** Hex. */
  readonly hash: string
}

export interface AuditFilter {
  readonly type?: AuditRecord['type'] | undefined
  readonly outcome?: string | undefined
  readonly clientId?: string | undefined
  readonly jti?: string | undefined
  /** From this moment on, in milliseconds since 1970. */
  readonly since?: number | undefined
  /** Before this moment. */
  readonly until?: number | undefined
}

export const recordTypes: readonly AuditRecord['type'][] = [
  'token',
  'service',
  'client',
  'secret',
  'resource',
  'access',
  'key',
]

/** Every outcome that a record can have. */
export const recordOutcomes: readonly string[] = [
  'issued',
  'refused',
  'started',
  'stopped',
  'created',
  'changed',
  'disabled',
  'enabled',
  'deleted',
  'added',
  'revoked',
]

/** A row of audit_record, its columns named as Prisma names them. */
export interface AuditRow {
  readonly chain: number
  readonly seq: bigint
  readonly time: Date
  readonly type: string
  readonly outcome: string
  readonly error: string | null
  readonly reason: string | null
  readonly clientId: string | null
  readonly authenticationMethod: string | null
  readonly credentialId: string | null
  readonly audience: string | null
  readonly scope: string | null
  readonly jti: string | null
  readonly kid: string | null
  readonly expiresAt: Date | null
  readonly address: string | null
  readonly userAgent: string | null
  readonly requestId: string | null
  readonly count: number
  readonly detail: string | null
  readonly hash: Uint8Array
}

/**
 * Spans to look back over, in milliseconds, until enough is found. The index on time is made for huge
 * tables and only knows ranges; without one, the newest fifty of a billion would cost a look at each.
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
    // The span that the filter itself names comes last.
    if (filter.since !== undefined && start <= filter.since) break
    const rows = await findNewest(database, { ...filter, since: start }, limit)
    if (rows.length === limit) return rows
  }
  return await findNewest(database, filter, limit)
}

async function findNewest(database: Queryable, filter: AuditFilter, limit: number): Promise<AuditEntry[]> {
  const { type, outcome, clientId, jti } = filter
  const { from, before } = rangeOf(filter)
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

/** From when to before when, in milliseconds since 1970: as asked, and no wider than a token's id says. */
function rangeOf({ jti, since, until }: AuditFilter): { from: number; before: number } {
  const made = jti === undefined ? undefined : millisecondsOf(jti)
  return {
    from: Math.max(since ?? 0, made ?? 0),
    before: Math.min(until ?? farFuture, made === undefined ? farFuture : made + 1),
  }
}

/** The end of the year 9999, in milliseconds since 1970. */
const farFuture = 253_402_300_800_000

export function matches(entry: AuditEntry, filter: AuditFilter): boolean {
  return (
    (filter.type === undefined || entry.type === filter.type) &&
    (filter.outcome === undefined || entry.outcome === filter.outcome) &&
    (filter.clientId === undefined || entry.clientId === filter.clientId) &&
    (filter.jti === undefined || entry.jti === filter.jti) &&
    (filter.since === undefined || entry.time >= filter.since) &&
    (filter.until === undefined || entry.time < filter.until)
  )
}

export function toEntry(row: AuditRow): AuditEntry {
  const { chain, time, type, outcome, count, expiresAt, detail, hash } = row
  return {
    chain,
    seq: Number(row.seq),
    time: time.getTime(),
    type: type as AuditRecord['type'],
    outcome,
    error: row.error ?? undefined,
    reason: row.reason ?? undefined,
    clientId: row.clientId ?? undefined,
    authenticationMethod: row.authenticationMethod ?? undefined,
    credentialId: row.credentialId ?? undefined,
    audience: row.audience ?? undefined,
    scope: row.scope ?? undefined,
    jti: row.jti ?? undefined,
    kid: row.kid ?? undefined,
    expiresAt: expiresAt === null ? undefined : Math.floor(expiresAt.getTime() / 1000),
    address: row.address ?? undefined,
    userAgent: row.userAgent ?? undefined,
    requestId: row.requestId ?? undefined,
    count,
    detail: detail === null ? undefined : (JSON.parse(detail) as Record<string, unknown>),
    hash: Buffer.from(hash).toString('hex'),
  }
}

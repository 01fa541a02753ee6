import type { RecordPlace } from './cursor.ts'
import type { AuditRecord, RecordOutcome, RecordType } from './record.ts'
import { millisecondsOf } from './token-id.ts'

/** A record with its place in the ledger. */
export interface AuditEntry extends AuditRecord {
  readonly chain: number
  readonly seq: number
  /** Hex. */
  readonly hash: string
  /** The hash of the previous record, in hex. For the first record, the random bytes with which its chain begins. */
  readonly previousHash?: string | undefined
  /**
   * When it was committed, by the database's clock: text with microseconds, which tell the order of commits. Undefined
   * for records from before this was noted.
   */
  readonly committedAt?: string | undefined
}

/** Selects records. A record matches if it agrees with every field that is set. */
export interface AuditFilter {
  readonly type?: RecordType | undefined
  readonly outcome?: RecordOutcome | undefined
  readonly clientId?: string | undefined
  readonly jti?: string | undefined
  /** Records at this time or later, in milliseconds since 1970. */
  readonly since?: number | undefined
  /** Records before this time, in milliseconds since 1970. */
  readonly until?: number | undefined
  /** Records that a listing shows before this place, or after it. */
  readonly beforePlace?: RecordPlace | undefined
  readonly afterPlace?: RecordPlace | undefined
}

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

/**
 * The range of time in which records can match. The id of a token contains the time of its record, so a `jti`
 * narrows the range to one millisecond.
 * @returns milliseconds since 1970, `from` included and `before` excluded.
 */
export function timeRange({ jti, since, until, beforePlace, afterPlace }: AuditFilter): {
  from: number
  before: number
} {
  const issuedAt = jti === undefined ? undefined : millisecondsOf(jti)
  return {
    from: Math.max(since ?? 0, issuedAt ?? 0, afterPlace?.time ?? 0),
    before: Math.min(
      until ?? farFuture,
      issuedAt === undefined ? farFuture : issuedAt + 1,
      beforePlace === undefined ? farFuture : beforePlace.time + 1,
    ),
  }
}

/** The end of the year 9999, in milliseconds since 1970. */
const farFuture = 253_402_300_800_000

import type { AuditRecord, RecordOutcome, RecordType } from './record.ts'
import { millisecondsOf } from './token-id.ts'

/** A record with its place in the ledger. */
export interface AuditEntry extends AuditRecord {
  readonly chain: number
  readonly seq: number
  /** Hex. */
  readonly hash: string
}

/** Which records are meant: those that agree with every field that is set. */
export interface AuditFilter {
  readonly type?: RecordType | undefined
  readonly outcome?: RecordOutcome | undefined
  readonly clientId?: string | undefined
  readonly jti?: string | undefined
  /** From this moment on, in milliseconds since 1970. */
  readonly since?: number | undefined
  /** Before this moment. */
  readonly until?: number | undefined
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
 * The times in which matching records can be: as the filter says, and no more than a token's id allows.
 * @returns milliseconds since 1970: from one, and before the other.
 */
export function timeRange({ jti, since, until }: AuditFilter): { from: number; before: number } {
  const made = jti === undefined ? undefined : millisecondsOf(jti)
  return {
    from: Math.max(since ?? 0, made ?? 0),
    before: Math.min(until ?? farFuture, made === undefined ? farFuture : made + 1),
  }
}

/** The end of the year 9999, in milliseconds since 1970. */
const farFuture = 253_402_300_800_000

import { recordCursor } from '../../ledger/cursor.ts'
import type { AuditEntry } from '../../ledger/query.ts'
import { recordColumns } from '../../ledger/record.ts'
import { millisecondsText, optionalMoment } from '../../lib/moment.ts'

/** A record for scripts: every column, with null for an absent value, and its place in the ledger. */
export function entryFields(entry: AuditEntry): Record<string, unknown> {
  const shown = { ...entry, time: millisecondsText(entry.time), expiresAt: optionalMoment(entry.expiresAt) }
  const fields = Object.entries(recordColumns).map(([field, column]) => [
    column,
    shown[field as keyof typeof shown] ?? null,
  ])
  const { chain, seq, hash, committedAt } = entry
  return {
    ...Object.fromEntries(fields),
    chain,
    seq,
    hash,
    committed_at: committedAt ?? null,
    cursor: recordCursor(entry),
  }
}

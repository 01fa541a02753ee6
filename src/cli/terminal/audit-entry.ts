import { recordCursor } from '../../ledger/cursor.ts'
import type { AuditEntry } from '../../ledger/query.ts'
import { recordFields } from '../../ledger/record-fields.ts'

/** A record for scripts, with its place in a listing. */
export function entryFields(entry: AuditEntry): Record<string, unknown> {
  return { ...recordFields(entry), cursor: recordCursor(entry) }
}

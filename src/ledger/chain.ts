import { hash } from 'node:crypto'
import { type AuditRecord, boundRecord, recordColumns } from './record.ts'

/**
 * The chain: each record is hashed together with the hash before it, so that a record cannot be changed,
 * removed, moved or slipped in without every later hash giving it away. One chain per process that writes;
 * a replica never waits for another one's turn.
 */
export interface ChainHead {
  readonly chain: number
  /** The last record's number; 0 before the first. */
  readonly seq: number
  /** The last record's hash; before the first, the chain's random genesis. 32 bytes. */
  readonly hash: Buffer
}

export const sha256Hex = (text: string): string => hash('sha256', text, 'hex')

/**
 * A record as it is hashed: a JSON array in this order, absent fields as null. Times are whole numbers,
 * milliseconds for `time` and seconds for `expires_at`; `detail` is JSON text inside the JSON.
 * The database keeps each element in a column of its own, so the array can be made again from a row.
 */
export function canonicalForm(chain: number, seq: number, record: AuditRecord): string {
  const values: unknown[] = [chain, seq]
  for (const field of fields) values.push(canonicalValue(record, field))
  return JSON.stringify(values)
}

const fields = Object.keys(recordColumns) as (keyof AuditRecord)[]

function canonicalValue(record: AuditRecord, field: keyof AuditRecord): unknown {
  if (field === 'count') return record.count ?? 1
  if (field === 'detail') return record.detail === undefined ? null : JSON.stringify(record.detail)
  return record[field]
}

/** SHA-256 over the 32 bytes of the hash before it and the UTF-8 of the canonical form. */
export function recordHash(previous: Buffer, canonical: string): Buffer {
  return hash('sha256', Buffer.concat([previous, Buffer.from(canonical)]), 'buffer')
}

/**
 * Links records to a chain's head.
 * @returns the JSON that the database function `ledger_append` takes, and the head after these records.
 */
export function link(head: ChainHead, records: readonly AuditRecord[]): { json: string; head: ChainHead } {
  let previous = head.hash
  let seq = head.seq
  let json = '['
  for (const record of records) {
    seq += 1
    const canonical = canonicalForm(head.chain, seq, boundRecord(record, sha256Hex))
    previous = recordHash(previous, canonical)
    // The hash becomes the array's last element: what is hashed and what is sent are the same text.
    json += `${seq === head.seq + 1 ? '' : ','}${canonical.slice(0, -1)},"${previous.toString('hex')}"]`
  }
  return { json: `${json}]`, head: { chain: head.chain, seq, hash: previous } }
}

import { hash } from 'node:crypto'
import { type AuditRecord, boundRecord, recordColumns } from './record.ts'

/**
 * Each record is hashed together with the previous hash. If a record is changed, removed, moved or inserted,
 * every later hash is wrong. Each process that writes has its own chain, so that replicas never wait for each
 * other.
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
 * The text of a record that is hashed: a JSON array in the order of `recordColumns`, with null for absent
 * fields. Times are whole numbers: milliseconds for `time`, seconds for `expires_at`. `detail` is JSON text
 * inside the JSON. The database stores each element in its own column, so the array can be rebuilt from a
 * row.
 */
export function canonicalForm(chain: number, seq: number, record: AuditRecord): string {
  const values: unknown[] = [chain, seq]
  for (const field of fields) values.push(canonicalValue(record, field))
  return JSON.stringify(values)
}

const fields = Object.keys(recordColumns) as (keyof AuditRecord)[]

function canonicalValue(record: AuditRecord, field: keyof AuditRecord): unknown {
  if (field === 'count') return record.count ?? 1
  if (field === 'detail') {
    // Text that is not an object only occurs in a record that somebody changed by hand (record-store.ts).
    const { detail } = record
    return detail === undefined ? null : typeof detail === 'string' ? detail : JSON.stringify(detail)
  }
  return record[field]
}

/** SHA-256 of the previous hash (32 bytes) followed by the canonical form in UTF-8. */
export function recordHash(previous: Buffer, canonical: string): Buffer {
  return hash('sha256', Buffer.concat([previous, Buffer.from(canonical)]), 'buffer')
}

/**
 * Links records to the head of a chain.
 * @returns the JSON for the database function `ledger_append`, and the head after these records.
 */
export function link(head: ChainHead, records: readonly AuditRecord[]): { json: string; head: ChainHead } {
  let previous = head.hash
  let seq = head.seq
  let json = '['
  for (const record of records) {
    seq += 1
    const canonical = canonicalForm(head.chain, seq, boundRecord(record, sha256Hex))
    previous = recordHash(previous, canonical)
    // The hash is appended as the last element, so the text that is hashed is also the text that is sent.
    json += `${seq === head.seq + 1 ? '' : ','}${canonical.slice(0, -1)},"${previous.toString('hex')}"]`
  }
  return { json: `${json}]`, head: { chain: head.chain, seq, hash: previous } }
}

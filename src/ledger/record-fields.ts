import { millisecondsText, optionalMoment } from '../lib/moment.ts'
import type { AuditEntry } from './query.ts'
import { type AuditRecord, recordColumns } from './record.ts'

/** A record as an object of JSON, in listings and exports: each column by its name, and null where there is no value. */

export function recordFields(entry: AuditEntry): Record<string, unknown> {
  const shown = { ...entry, time: millisecondsText(entry.time), expiresAt: optionalMoment(entry.expiresAt) }
  const fields = Object.entries(recordColumns).map(([field, column]) => [
    column,
    shown[field as keyof typeof shown] ?? null,
  ])
  const { chain, seq, hash, previousHash, committedAt } = entry
  return {
    ...Object.fromEntries(fields),
    chain,
    seq,
    previous_hash: previousHash ?? null,
    hash,
    committed_at: committedAt ?? null,
  }
}

/** What of a record its hash is over, and the two hashes in hex. */
export interface LinkedRecord {
  readonly chain: number
  readonly seq: number
  readonly previousHash: string
  readonly hash: string
  readonly record: AuditRecord
}

const hex = /^[0-9a-f]{64}$/

/** @returns undefined if it is not such an object. */
export function readRecordFields(given: Readonly<Record<string, unknown>>): LinkedRecord | undefined {
  const { chain, seq, hash, previous_hash: previousHash } = given
  if (!Number.isSafeInteger(chain) || !Number.isSafeInteger(seq)) return undefined
  if (typeof hash !== 'string' || typeof previousHash !== 'string') return undefined
  if (!hex.test(hash) || !/^(?:[0-9a-f]{2})*$/.test(previousHash)) return undefined
  const fields = Object.entries(recordColumns).map(([field, column]) => [field, given[column] ?? undefined])
  const record = Object.fromEntries(fields) as Record<string, unknown>
  return {
    chain: Number(chain),
    seq: Number(seq),
    previousHash,
    hash,
    record: {
      ...record,
      time: Date.parse(String(record['time'])),
      expiresAt:
        record['expiresAt'] === undefined ? undefined : Date.parse(String(record['expiresAt'])) / 1000,
    } as AuditRecord,
  }
}

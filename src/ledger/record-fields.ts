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
  /** Whether the object says the record in the one way that it is written here, and nothing else. */
  readonly isExact: boolean
}

const hex = /^[0-9a-f]{64}$/

/** @returns undefined if it is not such an object. */
export function readRecordFields(given: Readonly<Record<string, unknown>>): LinkedRecord | undefined {
  const { chain, seq, hash, previous_hash: previousHash } = given
  if (!Number.isSafeInteger(chain) || !Number.isSafeInteger(seq)) return undefined
  if (typeof hash !== 'string' || typeof previousHash !== 'string') return undefined
  if (!hex.test(hash) || !/^(?:[0-9a-f]{2})*$/.test(previousHash)) return undefined
  const fields = Object.entries(recordColumns).map(([field, column]) => [field, given[column] ?? undefined])
  const read = Object.fromEntries(fields) as Record<string, unknown>
  const { time, expiresAt } = read
  const record = {
    ...read,
    time: Date.parse(String(time)),
    expiresAt: expiresAt === undefined ? undefined : Date.parse(String(expiresAt)) / 1000,
  } as AuditRecord
  const place = { chain: Number(chain), seq: Number(seq) }
  const isExact = isWrittenSo(given, recordFields({ ...record, ...place, hash, previousHash }))
  return { ...place, previousHash, hash, record, isExact }
}

/**
 * What else stands in such an object, and is neither hashed nor derived from what is: where a list goes on, and when it was
 * committed.
 */
const unhashed: ReadonlySet<string> = new Set(['cursor', 'committed_at'])

/**
 * The hash is over values, not over this text. So the same values in another spelling have the same hash, and so has a
 * moment that is none, and whatever stands beside them. A reader would find there what nobody hashed. Members without a
 * value may be left out.
 */
function isWrittenSo(given: Readonly<Record<string, unknown>>, written: Record<string, unknown>): boolean {
  if (given['count'] === null || given['expires_at'] === 'unreadable') return false
  const { detail } = given
  if (typeof detail === 'string' && typeof readDetail(detail) !== 'string') return false
  for (const [name, value] of Object.entries(given)) {
    const isText = value === null || typeof value === 'string'
    if (unhashed.has(name) ? !isText : !isSame(value, written[name])) return false
  }
  return true
}

const isSame = (one: unknown, other: unknown): boolean =>
  one === other || JSON.stringify(one) === JSON.stringify(other)

/**
 * As an object if that has the same text as what was hashed. Other text, which can only have been written by hand,
 * stays as it is.
 */
export function readDetail(text: string): Record<string, unknown> {
  try {
    const detail = JSON.parse(text) as Record<string, unknown>
    if (typeof detail === 'object' && detail !== null && JSON.stringify(detail) === text) return detail
  } catch {}
  return text as unknown as Record<string, unknown>
}

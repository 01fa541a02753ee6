/** A record as an object of JSON: what a listing or an export has of it, and what is read back. */
import { describe, expect, test } from 'vitest'
import type { AuditEntry } from '../../src/ledger/query.ts'
import { type AuditRecord, recordColumns } from '../../src/ledger/record.ts'
import { readRecordFields, recordFields } from '../../src/ledger/record-fields.ts'

const record: AuditRecord = {
  time: 1_800_000_000_123,
  type: 'token',
  outcome: 'issued',
  clientId: 'billing',
  expiresAt: 1_800_000_300,
  count: 0,
  detail: { note: 'x' },
}
const hash = '0a'.repeat(32)
const previousHash = '1b'.repeat(16)
const entry: AuditEntry = { ...record, chain: 7, seq: 3, hash, previousHash }
const fields = recordFields(entry)

describe('written', () => {
  const none = Object.fromEntries(Object.values(recordColumns).map((column) => [column, null]))

  test('it has each column by its name, and null where there is no value', () => {
    expect(fields).toEqual({
      ...none,
      time: '2027-01-15T08:00:00.123Z',
      type: 'token',
      outcome: 'issued',
      client_id: 'billing',
      expires_at: '2027-01-15T08:05:00Z',
      count: 0,
      detail: { note: 'x' },
      chain: 7,
      seq: 3,
      previous_hash: previousHash,
      hash,
      committed_at: null,
    })
  })

  test('it says when it was committed, and which record was before it, where that is known', () => {
    const committedAt = '2027-01-15T08:00:00.123456Z'
    expect(recordFields({ ...entry, committedAt })).toEqual({ ...fields, committed_at: committedAt })
    const { previousHash: _, expiresAt: __, ...rest } = entry
    expect(recordFields(rest)).toEqual({ ...fields, previous_hash: null, expires_at: null })
  })
})

describe('read back', () => {
  const linked = { chain: 7, seq: 3, previousHash, hash, isExact: true }

  test('it is the same record', () => {
    expect(readRecordFields(fields)).toEqual({ ...linked, record })
    const { expiresAt: _, ...rest } = record
    expect(readRecordFields({ ...fields, expires_at: null })).toEqual({ ...linked, record: rest })
    const { expires_at: __, ...without } = fields
    expect(readRecordFields(without)).toEqual({ ...linked, record: rest })
  })

  test('the first record of a chain follows random bytes, of any number', () => {
    for (const bytes of ['', 'ff', '00'.repeat(40)]) {
      expect(readRecordFields({ ...fields, previous_hash: bytes })).toMatchObject({ previousHash: bytes })
    }
  })

  test.for<readonly [member: string, value: unknown]>([
    ['chain', '7'],
    ['chain', 0.5],
    ['chain', undefined],
    ['seq', '3'],
    ['seq', 2 ** 53],
    ['hash', undefined],
    ['hash', [hash]],
    ['hash', hash.slice(2)],
    ['hash', `${hash}00`],
    ['hash', `00${hash}`],
    ['hash', hash.toUpperCase()],
    ['hash', 'g'.repeat(64)],
    ['previous_hash', null],
    ['previous_hash', [previousHash]],
    ['previous_hash', `${previousHash}0`],
    ['previous_hash', `x${previousHash}`],
    ['previous_hash', `${previousHash}xx`],
    ['previous_hash', previousHash.toUpperCase()],
  ])('it is none with the %s %j', ([member, value]) => {
    expect(readRecordFields({ ...fields, [member]: value })).toBeUndefined()
  })
})

/** A record as an object of JSON: what a listing or an export has of it, and what is read back. */
import { describe, expect, test } from 'vitest'
import type { AuditEntry } from '../../src/ledger/query.ts'
import { type AuditRecord, recordColumns } from '../../src/ledger/record.ts'
import { readDetail, readRecordFields, recordFields } from '../../src/ledger/record-fields.ts'

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

describe('says it in the one way that it is written', () => {
  const isExact = (changed: Record<string, unknown>): boolean | undefined =>
    readRecordFields({ ...fields, ...changed })?.isExact

  test('with what stands beside it unhashed: where a list goes on, and when it was committed', () => {
    expect(isExact({ cursor: '1-2-3', committed_at: '2027-01-15T08:00:00.123456Z' })).toBe(true)
    expect(isExact({ cursor: null, committed_at: null })).toBe(true)
    for (const name of ['cursor', 'committed_at'])
      for (const value of [0, true, {}, ['x']])
        expect([name, value, isExact({ [name]: value })]).toEqual([name, value, false])
    expect(isExact({ other: null })).toBe(false)
  })

  test('a moment that is none has the hash of a record without one', () => {
    expect(isExact({ expires_at: null })).toBe(true)
    expect(isExact({ expires_at: 'unreadable' })).toBe(false)
  })

  test('a detail is text only if it is none that would be shown as an object', () => {
    expect(isExact({ detail: 'written by hand' })).toBe(true)
    expect(isExact({ detail: '{"note":"x"}' })).toBe(false)
  })
})

test('a detail is an object if it has the text that was hashed, and stays text otherwise', () => {
  for (const text of ['{"note":"x"}', '{}', '[1]']) expect(readDetail(text)).toEqual(JSON.parse(text))
  for (const text of ['{"note": "x"}', '{"a":1,"a":1}', 'null', '1', '"x"', '{', ''])
    expect(readDetail(text)).toBe(text)
})

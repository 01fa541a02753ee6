/** Where a reader of the ledger goes on: what a cursor says, and what is none. */
import { describe, expect, test } from 'vitest'
import {
  readRecordCursor,
  readTailCursor,
  recordCursor,
  type TailPlace,
  tailCursor,
} from '../../src/ledger/cursor.ts'
import type { AuditEntry } from '../../src/ledger/query.ts'

describe('the cursor of a record', () => {
  const place = { time: 1_798_761_599_999, chain: 12, seq: 345 }

  test('says its time, its chain and its number', () => {
    const cursor = recordCursor({ ...place, hash: '00', type: 'token', outcome: 'issued' } as AuditEntry)
    expect(cursor).toBe('1798761599999-12-345')
    expect(readRecordCursor(cursor)).toEqual(place)
    const [time, chain, seq] = [999_999_999_999_999, 999_999_999, 999_999_999_999_999]
    expect(readRecordCursor(`${time}-${chain}-${seq}`)).toEqual({ time, chain, seq })
  })

  test.for([
    '',
    '1-2',
    '1-2-',
    '-2-3',
    '1--3',
    '1-2-3-4',
    'x1-2-3',
    '1-2-3x',
    '1-2-3\n',
    '1-2--3',
    'a-2-3',
    '1-b-3',
    '1-2-c',
    `${'1'.repeat(16)}-2-3`,
    `1-${'2'.repeat(10)}-3`,
    `1-2-${'3'.repeat(16)}`,
    tailCursor({ highest: 1, gaps: [], open: [] }),
  ])('%j is none', (text) => {
    expect(readRecordCursor(text)).toBeUndefined()
  })
})

describe('the cursor of a tail', () => {
  const place: TailPlace = {
    highest: 9,
    gaps: [4, 0],
    open: [
      [7, 12, true],
      [8, 0, false],
      [9, 1, null],
    ],
  }
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

  test('says how far it has read each chain', () => {
    expect(tailCursor(place)).toBe(`tail-${encoded(place)}`)
    expect(readTailCursor(tailCursor(place))).toEqual(place)
    const empty = { highest: 0, gaps: [], open: [] }
    expect(readTailCursor(tailCursor(empty))).toEqual(empty)
  })

  test.for([
    '',
    'tail-',
    encoded(place),
    `last-${encoded(place)}`,
    `tail${encoded(place)}`,
    `tail-${encoded(place).slice(0, -4)}`,
    recordCursor({ time: 1, chain: 2, seq: 3 } as AuditEntry),
  ])('%j is none', (text) => {
    expect(readTailCursor(text)).toBeUndefined()
  })

  test.for<unknown>([
    null,
    7,
    'text',
    [],
    { ...place, highest: undefined },
    { ...place, highest: -1 },
    { ...place, highest: 0.5 },
    { ...place, highest: '9' },
    { ...place, highest: 2 ** 53 },
    { ...place, gaps: undefined },
    { ...place, gaps: 4 },
    { ...place, gaps: [4, -1] },
    { ...place, gaps: [null, 4] },
    { ...place, open: undefined },
    { ...place, open: {} },
    { ...place, open: [null] },
    { ...place, open: [[7, 12, true], []] },
    { ...place, open: [[7, 12]] },
    { ...place, open: [[7, 12, 1]] },
    { ...place, open: [['7', 12, true]] },
    { ...place, open: [[7, -1, true]] },
    { ...place, open: [{ 0: 7, 1: 12, 2: true }] },
  ])('%j is no place', (value) => {
    expect(readTailCursor(`tail-${encoded(value)}`)).toBeUndefined()
  })
})

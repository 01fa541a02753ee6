/** One value has one encoding (X.690 §10). What is written otherwise is refused, and nothing is read beyond its end. */
import { describe, expect, test } from 'vitest'
import {
  booleanOf,
  DerProblem,
  DerReader,
  derValues,
  objectIdentifierText,
  onlyValue,
  smallInteger,
  tags,
  textOf,
  timeOf,
} from '../../src/lib/der.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const value = (hex: string) => new DerReader(bytes(hex)).next()

test('values one after the other, and what they consist of', () => {
  const reader = new DerReader(bytes('30 06 020101 0101ff 0500'))
  const inside = reader.inside(tags.sequence)
  expect(smallInteger(inside.next(tags.integer))).toBe(1)
  expect(inside.optional(tags.integer)).toBeUndefined()
  expect(booleanOf(inside.next())).toBe(true)
  expect(inside.isAtEnd).toBe(true)
  expect(() => reader.end()).toThrow(DerProblem)
  expect(reader.next().whole).toEqual(bytes('0500'))
  reader.end()
  expect(derValues(bytes('0500 0500'))).toHaveLength(2)
  expect(value(`0481 80${'00'.repeat(128)}`).content).toHaveLength(128)
  expect(value(`0482 0100${'00'.repeat(256)}`).content).toHaveLength(256)
})

describe('malformed', () => {
  test.each([
    ['nothing', ''],
    ['a tag alone', '04'],
    ['cut off', '0402 00'],
    ['an indefinite length', '3080 0000'],
    ['a length with zeros in front', `0482 0080${'00'.repeat(128)}`],
    ['a long length for a short one', '0481 01 00'],
    ['a length that is cut off', '0482 01'],
    ['a length of five bytes', '0485 0000000001 00'],
    ['a length beyond the end', '0484 ffffffff 00'],
    ['a long tag', '1f01 00'],
  ])('%s', (_what, hex) => {
    expect(() => value(hex)).toThrow(DerProblem)
  })

  test.each<[string, () => unknown]>([
    ['another type', () => new DerReader(bytes('0500')).next(tags.integer)],
    ['more than one value', () => onlyValue(bytes('020101 00'), tags.integer)],
    ['a boolean that is neither', () => booleanOf(value('010101'))],
    ['a negative number', () => smallInteger(value('0201ff'))],
    ['a number with zeros in front', () => smallInteger(value('02020001'))],
    ['no number', () => smallInteger(value('0200'))],
    ['a large number', () => smallInteger(value('02050100000000'))],
    ['an identifier that is cut off', () => objectIdentifierText(value('060181'))],
    ['an identifier with zeros in front', () => objectIdentifierText(value('0603558001'))],
    ['an empty identifier', () => objectIdentifierText(value('0600'))],
    // What it takes to read one grows with the square of its length, and strangers send certificates.
    [
      'an identifier with a number of 33 bytes',
      () => objectIdentifierText(value(`0622 2a${'ff'.repeat(32)}7f`)),
    ],
    ['UTF-8 that is none', () => textOf(value('0c02c0af'))],
    ['half of a character', () => textOf(value('1e0141'))],
    ['printable text that is not ASCII', () => textOf(value('1301e9'))],
  ])('%s', (_what, read) => {
    expect(read).toThrow(DerProblem)
  })
})

test.each([
  ['0603550403', '2.5.4.3'],
  ['06092a864886f70d01010b', '1.2.840.113549.1.1.11'],
  ['060a0992268993f22c640119', '0.9.2342.19200300.100.1.25'],
  ['06032a0304', '1.2.3.4'],
  ['06028837', '2.999'],
  // Longer than a number can be.
  [`0614 69${'ff'.repeat(18)}7f`.replaceAll(' ', ''), '2.25.170141183460469231731687303715884105727'],
  [`06308837${`${'ff'.repeat(22)}7f`.repeat(2)}`, `2.999.${2n ** 161n - 1n}.${2n ** 161n - 1n}`],
])('%s is %s', (hex, expected) => {
  if (expected.startsWith('2.25')) expect(objectIdentifierText(value(hex))).toMatch(/^2\.25\.\d+$/)
  else expect(objectIdentifierText(value(hex))).toBe(expected)
})

describe('times', () => {
  const time = (tag: number, text: string) =>
    timeOf({ tag, content: Buffer.from(text), whole: Buffer.alloc(0) })
  test.each([
    [tags.utcTime, '490101000000Z', '2049-01-01T00:00:00Z'],
    [tags.utcTime, '500101000000Z', '1950-01-01T00:00:00Z'],
    [tags.generalizedTime, '20500630235959Z', '2050-06-30T23:59:59Z'],
    [tags.generalizedTime, '99991231235959Z', '9999-12-31T23:59:59Z'],
  ])('%i %s', (tag, text, expected) => {
    expect(time(tag, text)).toBe(Date.parse(expected) / 1_000)
  })

  test.each([
    [tags.utcTime, '20490101000000Z'],
    [tags.generalizedTime, '490101000000Z'],
    [tags.utcTime, '4901010000Z'],
    [tags.utcTime, '490101000000'],
    [tags.utcTime, '490101000000+0100'],
    [tags.generalizedTime, '20490101000000.5Z'],
    [tags.utcTime, '491301000000Z'],
    [tags.utcTime, '490132000000Z'],
    [tags.utcTime, '490101240000Z'],
    [tags.utcTime, '490101000060Z'],
    [tags.generalizedTime, '00500101000000Z'],
    [tags.utcTime, '49010100000\u0660Z'],
    [tags.integer, '490101000000Z'],
  ])('%i %s is none', (tag, text) => {
    expect(() => time(tag, text)).toThrow(DerProblem)
  })
})

test('texts of the types that names have', () => {
  expect(textOf(value('0c02c3a9'))).toBe('é')
  expect(textOf(value('1e0400610062'))).toBe('ab')
  expect(textOf(value('130161'))).toBe('a')
  expect(textOf(value('160161'))).toBe('a')
  expect(textOf(value('140161'))).toBeUndefined()
})

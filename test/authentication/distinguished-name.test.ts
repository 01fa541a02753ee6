/** Two names are the same exactly when a directory would take them for the same, character by character. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isNameWithin,
  NameProblem,
  nameText,
  parseName,
} from '../../src/authentication/distinguished-name.ts'

const text = (written: string): string => nameText(parseName(written))

describe('the same name', () => {
  test.each([
    ['CN=billing,O=Example', 'cn=billing,o=Example'],
    ['CN=billing,O=Example', 'CN = billing, O = Example'],
    ['CN=billing,O=Example', 'commonName=billing,organizationName=Example'],
    ['CN=billing,O=Example', '2.5.4.3=billing,OID.2.5.4.10=Example'],
    ['CN=billing,O=Example', '2.5.4.3=#0c0762696c6c696e67,O=#13074578616d706c65'],
    ['CN=a+OU=b,O=c', 'OU=b+CN=a,O=c'],
    ['CN=pay\\, roll', 'CN=pay\\2C roll'],
    ['CN=\\#1', 'CN=\\231'],
    ['CN=Lu\\C4\\8Di\\C4\\87', 'CN=Lučić'],
    ['CN=\\20a\\20', 'CN=\\ a\\ '],
    ['emailAddress=a@b', '1.2.840.113549.1.9.1=#1603614062'],
    ['UID=x,DC=example,DC=org', '0.9.2342.19200300.100.1.1=x,domainComponent=example,dc=org'],
  ])('%s and %s', (one, other) => {
    expect(text(one)).toBe(text(other))
  })
})

describe('an attribute type', () => {
  const types = {
    '2.5.4.3': ['CN', 'commonName'],
    '2.5.4.4': ['SN', 'surname'],
    '2.5.4.5': ['serialNumber'],
    '2.5.4.6': ['C', 'countryName'],
    '2.5.4.7': ['L', 'localityName'],
    '2.5.4.8': ['ST', 'S', 'stateOrProvinceName'],
    '2.5.4.9': ['street', 'streetAddress'],
    '2.5.4.10': ['O', 'organizationName'],
    '2.5.4.11': ['OU', 'organizationalUnitName'],
    '2.5.4.12': ['title'],
    '2.5.4.15': ['businessCategory'],
    '2.5.4.17': ['postalCode'],
    '2.5.4.41': ['name'],
    '2.5.4.42': ['GN', 'givenName'],
    '2.5.4.43': ['initials'],
    '2.5.4.44': ['generationQualifier'],
    '2.5.4.46': ['dnQualifier', 'dnq'],
    '2.5.4.65': ['pseudonym'],
    '2.5.4.97': ['organizationIdentifier'],
    '0.9.2342.19200300.100.1.1': ['UID', 'userId'],
    '0.9.2342.19200300.100.1.25': ['DC', 'domainComponent'],
    '1.2.840.113549.1.9.1': ['emailAddress', 'E'],
  }
  test.each(Object.entries(types))('%s has its names', (identifier, names) => {
    for (const name of [...names, identifier, `oid.${identifier}`])
      expect(parseName(`${name}=a`)).toEqual([[{ type: identifier, text: 'a' }]])
  })
})

describe('a value', () => {
  test.each<[string, { readonly text: string } | { readonly der: string }]>([
    ['a ', { text: 'a' }],
    ['a b  ', { text: 'a b' }],
    ['\\ ', { text: ' ' }],
    ['\\41b', { text: 'Ab' }],
    ['a#0c0161', { text: 'a#0c0161' }],
    ['#0c0161 ', { text: 'a' }],
    ['\ufeffa', { text: '\ufeffa' }],
    // What is no text of its length stays as it is.
    ['#0c', { der: '0c' }],
    ['#0c00', { der: '0c00' }],
    ['#0c0261', { der: '0c0261' }],
    ['#0c016161', { der: '0c016161' }],
    ['#0401', { der: '0401' }],
    ['#040161', { der: '040161' }],
    ['#0c01ff', { der: '0c01ff' }],
    [`#0c80${'61'.repeat(0x80)}`, { der: `0c80${'61'.repeat(0x80)}` }],
    [`#0c7f${'61'.repeat(0x7f)}`, { text: 'a'.repeat(0x7f) }],
  ])('%s', (written, value) => {
    expect(parseName(`CN=${written}`)).toEqual([[{ type: '2.5.4.3', ...value }]])
    expect(parseName(`CN=${written},O=b`)).toHaveLength(2)
  })
})

test('the text of a name says of each attribute what it is', () => {
  expect(text('OU=b+CN=#0501,O=c')).toBe(
    '[[["2.5.4.10","c",""]],[["2.5.4.11","b",""],["2.5.4.3","","0501"]]]',
  )
  expect(nameText([])).toBe('')
})

describe('another name', () => {
  test.each([
    ['CN=billing,O=Example', 'O=Example,CN=billing'],
    ['CN=billing,O=Example', 'CN=Billing,O=Example'],
    ['CN=billing', 'CN=billing,O=Example'],
    ['CN=billing,O=Example', 'CN=billing+O=Example'],
    ['CN=a,CN=b', 'CN=b,CN=a'],
    ['CN=a', 'CN=a+CN=a'],
    ['CN=pay\\, roll', 'CN=pay,OU=roll'],
    ['CN=a', 'CN=a\\ '],
    ['CN=a b', 'CN=a  b'],
    ['CN=a', 'OU=a'],
    ['CN=\\#0c0161', 'CN=#0c0161'],
    ['CN=e\u0301', 'CN=\u00e9'],
    ['CN=K', 'CN=\u212a'],
    ['CN=a', 'CN=\uff41'],
    ['CN=#0501', 'CN=#0502'],
  ])('%s and %s', (one, other) => {
    expect(text(one)).not.toBe(text(other))
  })
})

describe('no name', () => {
  test.each([
    '',
    ' ',
    'billing',
    'CN',
    'CN=',
    'CN=a,',
    ',CN=a',
    'CN=a,,O=b',
    'CN=a;O=b',
    'CN="a"',
    'CN=<a>',
    'CN=a\\',
    'CN=a\\x',
    'CN=a\\1',
    'CN=\\FF',
    'CN=a\0b',
    'CN=#',
    'CN=#0',
    'CN=#0cZZ',
    'CN=#0c0161x',
    'XX=a',
    '1=a',
    '01.2=a',
    '/CN=a/O=b',
    'toString=a',
    '__proto__=a',
  ])('%j', (written) => {
    expect(() => parseName(written)).toThrow(NameProblem)
  })
})

test.each([
  ['billing', 'has a part without "=": write it like CN=billing,O=Example'],
  [
    `${'x'.repeat(50)}=a`,
    `has an attribute type that is not known, "${'x'.repeat(40)}": write it as an object identifier`,
  ],
  ['1.2x=a', 'has an attribute type that is not known, "1.2x": write it as an object identifier'],
  ['CN=a;b', 'has a character that needs a backslash before it: ";"'],
  ['CN=\\FF', 'has an escaped value that is not UTF-8'],
  ['CN=', 'has an attribute without a value'],
  ['CN=\\xx41', 'has a backslash that is neither before a special character nor before two hex digits'],
  ['CN=#x', 'has a value after # that is not hexadecimal'],
])('%s: it %s', (written, problem) => {
  expect(() => parseName(written)).toThrow(expect.objectContaining({ name: 'NameProblem', message: problem }))
})

test('every value survives its escape', () => {
  const value = fc
    .string({ minLength: 1, unit: 'binary' })
    .filter((each) => !each.includes('\0') && each.isWellFormed())
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 3 }), (values) => {
      const escaped = (each: string) =>
        [...Buffer.from(each)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('')
      const written = values.map((each) => `CN=${escaped(each)}`).join(',')
      expect(parseName(written)).toEqual(values.toReversed().map((each) => [{ type: '2.5.4.3', text: each }]))
    }),
  )
})

test('a name is within its beginning from the top, and within the empty one', () => {
  const [inner, outer] = [text('CN=billing,OU=a,O=Example'), text('OU=a,O=Example')]
  expect(isNameWithin(inner, outer)).toBe(true)
  expect(isNameWithin(inner, inner)).toBe(true)
  expect(isNameWithin(inner, '')).toBe(true)
  expect(isNameWithin(outer, inner)).toBe(false)
  expect(isNameWithin(text('CN=billing,OU=ab,O=Example'), outer)).toBe(false)
  expect(isNameWithin(text('O=Example,CN=billing'), outer)).toBe(false)
})

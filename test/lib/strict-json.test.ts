/** JSON with one meaning: what JSON.parse understands, without names that stand twice. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { base64urlDecoded } from '../../src/lib/base64url.ts'
import { parseStrictJson } from '../../src/lib/strict-json.ts'

test('any value is read as it was written', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      expect(JSON.stringify(parseStrictJson(text, 1_000))).toBe(text)
    }),
  )
})

describe('refused', () => {
  test.each([
    ['a name that stands twice', '{"a":1,"a":1}'],
    ['once with an escape', '{"a":1,"\\u0061":2}'],
    ['further inside', '[{"x":{"a":1,"b":2,"a":3}}]'],
    ['__proto__ twice', '{"__proto__":1,"__proto__":2}'],
    ['too deep', '{"a":[[[[]]]]}'],
    ['no JSON', '{"a"'],
    ['a string without an end', '"a\\'],
    ['a byte order mark', '\ufeff{}'],
    ['nothing', ''],
    ['half of a surrogate pair', '["\\ud800"]'],
    ['the other half, in a name', '{"\\uDFFF":1}'],
  ])('%s', (_title, text) => {
    expect(() => parseStrictJson(text, 4)).toThrow(SyntaxError)
  })
})

test.each([
  ['colons and brackets in strings', '{"a:b":"c:d","e":"[{\\"x\\":1}]","f":"\\\\"}'],
  ['a whole surrogate pair', '["\\ud83d\\ude00"]'],
  ['the same name in two objects', '[{"a":1},{"a":1}]'],
  ['a name that is a number', '{"1":1,"0":{"1":2}}'],
])('read: %s', (_title, text) => {
  expect(parseStrictJson(text, 4)).toEqual(JSON.parse(text))
})

test('a large text takes no time that grows faster than it', () => {
  const hostile = `["${'\\"'.repeat(4_000)}"]`
  expect(parseStrictJson(hostile, 4)).toEqual(['"'.repeat(4_000)])
})

describe('base64url', () => {
  test.each([
    ['padding', 'QQ=='],
    ['the other alphabet', '+/+/'],
    ['a space', 'QU JD'],
    ['a line break', 'QUJD\n'],
    ['bits that mean nothing', 'QR'],
    ['one character', 'Q'],
  ])('%s is refused', (_title, text) => {
    expect(base64urlDecoded(text)).toBeUndefined()
  })

  test('bytes come back as they were', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(base64urlDecoded(Buffer.from(bytes).toString('base64url'))).toEqual(Buffer.from(bytes))
      }),
    )
  })
})

/** What may be registered is what can be asked for; and no text forges a line or turns its reader's around. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { isAudience, isScopeToken, plainText } from '../../src/registry/grammar.ts'

test.each([
  ['https://orders.example.com', true],
  ['urn:a', true],
  ['a+b.c-d:x', true],
  ["x:-._~:/?[]@!$&'()*+,;=09AZaz", true],
  ['x:%aF%09', true],
  ['x:%a', false],
  ['x:%ag', false],
  ['x:%ga', false],
  ['x:', false],
  [':x', false],
  ['1x:y', false],
  ['x y:z', false],
  ['x:y z', false],
  ['x:y#z', false],
  ['x:y"', false],
  ['x:y\n', false],
  [' x:y', false],
  ['', false],
])('%j may be an audience (RFC 3986 §4.3): %s', (text, expected) => {
  expect(isAudience(text)).toBe(expected)
})

test.each([
  ['orders:read', true],
  ['!#[]~', true],
  ['', false],
  ['a b', false],
  ['a"', false],
  ['"a', false],
  ['a\\', false],
  ['a\x7f', false],
  ['é', false],
])('%j may be a scope (RFC 6749 §3.3): %s', (text, expected) => {
  expect(isScopeToken(text)).toBe(expected)
})

test('each is as long as it may be, and no longer', () => {
  const audience = (length: number) => `x:${'a'.repeat(length - 2)}`
  expect(isAudience(audience(limits.audienceCharactersMax))).toBe(true)
  expect(isAudience(audience(limits.audienceCharactersMax + 1))).toBe(false)
  expect(isScopeToken('a'.repeat(limits.scopeCharactersMax))).toBe(true)
  expect(isScopeToken('a'.repeat(limits.scopeCharactersMax + 1))).toBe(false)
})

describe('a text', () => {
  const codes = [
    0, 0x1f, 0x7f, 0x9f, 0x061c, 0x200b, 0x200f, 0x2028, 0x202e, 0x2060, 0x206f, 0xfeff, 0xd800, 0xdfff,
  ]

  test.each(codes.map((code) => [code.toString(16), String.fromCharCode(code)]))(
    'with U+%s in it is not plain, each time it is asked, and is shown without',
    (_code, character) => {
      for (const text of [character, `a${character}`, `${character}b`]) {
        expect(plainText(text)).not.toBe(text)
        expect(plainText(text), 'asked again').not.toBe(text)
      }
      expect(plainText(`a${character}b${character}`)).toBe('a\ufffdb\ufffd')
    },
  )

  test.each(['', 'Orders', 'Grüße', '日本語', '😀', 'a b', '\u00a0'])('%j is plain', (text) => {
    expect(plainText(text)).toBe(text)
  })
})

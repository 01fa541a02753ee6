/** What may be registered is what can be asked for. */
import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { isAudience, isScopeToken } from '../../src/registry/grammar.ts'

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

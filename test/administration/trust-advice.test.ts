/** Rules that would let in more than was meant. */
import { describe, expect, test } from 'vitest'
import { parseRegistration } from '../../src/administration/parse.ts'

const shop = 'https://issuer.example.com'
const mesh = 'spiffe://example.org'

function mistakesOf(issuer: string, condition: unknown, more: object = {}): string[] {
  const rule = { rule: 'r', conditions: [condition], client_id: 'billing', ...more }
  const keys = issuer === mesh ? { spiffe_bundle: 'https://spire.example.org/bundle' } : {}
  return parseRegistration({ trust: [{ issuer, ...keys, rules: [rule] }] }).mistakes.map(({ code }) => code)
}

/** What all assertions of the issuer have says of nobody who is meant. */
const open: readonly (readonly [issuer: string, condition: unknown])[] = [
  [shop, { claim: 'sub', present: true }],
  [shop, { claim: 'iss', equals: shop }],
  [shop, { claim: '/iss', one_of: [shop] }],
  [shop, { claim: 'iss', prefix: 'https://' }],
  [shop, { claim: 'aud', equals: 'https://tokens.example.com' }],
  [shop, { claim: 'jti', prefix: 'a:' }],
  [shop, { claim: 'sub', prefix: 'system:' }],
  [shop, { claim: 'sub', prefix: 'system:serviceaccount:' }],
  [shop, { claim: '/sub', prefix: 'system:serviceaccount:' }],
  [shop, { claim: 'sub', prefix: 'https://' }],
  [mesh, { claim: 'sub', prefix: 'spiffe:' }],
  [mesh, { claim: 'sub', prefix: 'spiffe://' }],
  [mesh, { claim: 'sub', prefix: 'spiffe://example.org/' }],
]

describe.each(open)('%s, %j', (issuer, condition) => {
  test('fits whomever the issuer signs for, and is refused unless that is meant', () => {
    expect(mistakesOf(issuer, condition)).toEqual(['rule_open'])
    expect(mistakesOf(issuer, condition, { dangerously_any_subject: true })).toEqual([])
  })
})

test.each([
  [shop, { claim: 'sub', equals: 'billing' }],
  [shop, { claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
  [shop, { claim: 'sub', prefix: 'https://issuer.example.com/jobs/' }],
  [shop, { claim: 'sub', prefix: 'job:' }],
  [shop, { claim: 'team', prefix: 'https://' }],
  [mesh, { claim: 'sub', prefix: 'spiffe://example.org/ns/' }],
] as const)('%s, %j says who is meant', (issuer, condition) => {
  expect(mistakesOf(issuer, condition)).toEqual([])
})

// JSON.parse makes one number of several, so the assertion of a neighbour would fit too (RFC 7493 §2.2).
test.each([2 ** 53, 2 ** 63, -(2 ** 53), 1e300])('%d is no number to compare with', (number) => {
  expect(mistakesOf(shop, { claim: 'id', equals: number })).toEqual(['claim_value_wrong'])
  expect(mistakesOf(shop, { claim: 'id', one_of: [1, number] })).toEqual(['claim_value_wrong'])
})

test.each([2 ** 53 - 1, 0, -74, 0.5])('%d is one', (number) => {
  expect(mistakesOf(shop, { claim: 'id', equals: number })).toEqual([])
})

/** What a file says of audiences of somebody else, and of claims: the defaults, and the mistakes. */

import { describe, expect, test } from 'vitest'
import { parseClient, parseResource } from '../../src/administration/parse.ts'

const many = (count: number, value: unknown): [string, unknown][] =>
  Array.from({ length: count }, (_, n) => [`c${n}`, value])

describe('an external resource', () => {
  const parsed = (fields: object) => parseResource({ audience: 'sts.amazonaws.com', ...fields }).value
  test('has what every cloud takes, unless somebody says otherwise', () => {
    expect(parsed({ external: true })).toMatchObject({
      external: true,
      signingAlgorithm: 'RS256',
      tokenTyp: 'JWT',
    })
    expect(parsed({})).toMatchObject({ signingAlgorithm: 'ES256', tokenTyp: 'at+jwt' })
    expect(parsed({ external: true, signing_algorithm: 'ES256', token_typ: 'at+jwt' })).toMatchObject({
      signingAlgorithm: 'ES256',
      tokenTyp: 'at+jwt',
    })
  })
})

test('a mistake in a claim names the claim', () => {
  const { mistakes } = parseClient({ client_id: 'a', claims: { iss: 'x', tenant: { b: 1 }, 'c d': 1 } })
  expect(mistakes).toEqual([
    { code: 'fixed_claim_reserved', path: ['claims', 'iss'], name: 'iss' },
    { code: 'fixed_claim_value_wrong', path: ['claims', 'tenant'], name: 'tenant' },
    { code: 'fixed_claim_malformed', path: ['claims', 'c d'], name: 'c d' },
  ])
  const large = Object.fromEntries(many(9, 'x'.repeat(250)))
  expect(parseClient({ client_id: 'a', claims: large }).mistakes).toEqual([
    { code: 'fixed_claims_too_large', path: ['claims'], bytes: 2_323, limit: 2_048 },
  ])
  const most = Object.fromEntries(many(21, 1))
  expect(parseClient({ client_id: 'a', claims: most }).mistakes).toEqual([
    { code: 'fixed_claims_too_many', path: ['claims'], count: 21, limit: 20 },
  ])
})

test('claims are a mapping, and none of them is passed over', () => {
  for (const claims of ['tenant', ['tenant'], null, 3]) {
    expect(parseClient({ client_id: 'a', claims }).mistakes).toMatchObject([
      { code: 'kind_wrong', path: ['claims'], expected: 'mapping' },
    ])
  }
  const claims = JSON.parse('{"__proto__": "x"}') as object
  expect(parseClient({ client_id: 'a', claims }).mistakes).toEqual([
    { code: 'fixed_claim_malformed', path: ['claims', '__proto__'], name: '__proto__' },
  ])
})

/** Claims that are registered with a client or a resource: which may be, and what becomes of those that may not. */

import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import {
  claimsText,
  contradictions,
  fixedClaimProblems,
  isReservedClaim,
  readFixedClaims,
} from '../../src/registry/fixed-claims.ts'
import { accessTokenClaims } from '../../src/token/claims.ts'

describe('what may be registered', () => {
  test.each<[string, object]>([
    ['a tenant', { tenant: 'acme' }],
    ['a list of texts', { regions: ['eu', 'us'] }],
    ['a whole number', { level: 3 }],
    ['a truth value', { production: true }],
    ['a session tag of AWS', { 'https://aws.amazon.com/tags/principal_tags/Team': 'billing' }],
    ['as many as are allowed', Object.fromEntries(letters(limits.fixedClaimsMax).map((name) => [name, 1]))],
    ['text as long as is allowed', { tenant: 'é'.repeat(limits.fixedClaimTextCharactersMax) }],
  ])('%s', (_, claims) => {
    expect(fixedClaimProblems(claims)).toEqual([])
    expect(readFixedClaims(claims)).toEqual(claims)
  })

  test.each<[string, object, unknown]>([
    ['an object', { a: { b: 1 } }, { kind: 'value', name: 'a' }],
    ['nothing', { a: null }, { kind: 'value', name: 'a' }],
    ['a fraction', { a: 1.5 }, { kind: 'value', name: 'a' }],
    ['a number that readers do not agree on', { a: 2 ** 53 }, { kind: 'value', name: 'a' }],
    ['an empty text', { a: '' }, { kind: 'value', name: 'a' }],
    ['an empty list', { a: [] }, { kind: 'value', name: 'a' }],
    ['a list of other things', { a: ['b', 1] }, { kind: 'value', name: 'a' }],
    ['a list in a list', { a: [['b']] }, { kind: 'value', name: 'a' }],
    ['a list that is too long', { a: letters(limits.fixedClaimValuesMax + 1) }, { kind: 'value', name: 'a' }],
    [
      'a text that is too long',
      { a: 'x'.repeat(limits.fixedClaimTextCharactersMax + 1) },
      { kind: 'value', name: 'a' },
    ],
    ['a line break', { a: 'b\nc' }, { kind: 'value', name: 'a' }],
    ['text that is turned around', { a: 'b\u202ec' }, { kind: 'value', name: 'a' }],
    ['a name with a space', { 'a b': 1 }, { kind: 'malformed', name: 'a b' }],
    ['an empty name', { '': 1 }, { kind: 'malformed', name: '' }],
    ['a name that begins with an underscore', { _a: 1 }, { kind: 'malformed', name: '_a' }],
    ['a name that ends as an option does', { 'a:': 1 }, { kind: 'malformed', name: 'a:' }],
    [
      'a name that is too long',
      { [`a${'b'.repeat(limits.fixedClaimNameCharactersMax)}`]: 1 },
      expect.objectContaining({ kind: 'malformed' }),
    ],
    [
      'too many',
      Object.fromEntries(letters(limits.fixedClaimsMax + 1).map((name) => [name, 1])),
      { kind: 'too_many' },
    ],
    [
      'too much together',
      Object.fromEntries(letters(9).map((name) => [name, 'x'.repeat(250)])),
      { kind: 'too_large' },
    ],
  ])('not %s', (_, claims, problem) => {
    expect(fixedClaimProblems(claims)).toEqual([problem])
    expect(() => readFixedClaims(claims)).toThrow('cannot be registered')
  })

  test('not __proto__, which some languages read as more than a name', () => {
    expect(fixedClaimProblems(JSON.parse('{"__proto__": "acme"}') as object)).toEqual([
      { kind: 'malformed', name: '__proto__' },
    ])
  })
})

describe('reserved', () => {
  const grant = {
    granted: true,
    clientId: 'billing',
    audience: 'urn:a',
    scopes: ['read'],
    lifetimeSeconds: 300,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
    confirmation: { jkt: 'key' },
  } as const

  test('every claim that the service sets', () => {
    const set = Object.keys(accessTokenClaims('https://issuer.example.com', grant, 1, 'id'))
    expect(set).toContain('cnf')
    expect(set.filter((name) => !isReservedClaim(name))).toEqual([])
  })

  test.each([
    ...[
      'iss',
      'sub',
      'aud',
      'exp',
      'nbf',
      'iat',
      'jti',
      'client_id',
      'scope',
      'scp',
      'cnf',
      'act',
      'may_act',
      'azp',
    ],
    ...[
      'roles',
      'groups',
      'entitlements',
      'authorization_details',
      'acr',
      'amr',
      'auth_time',
      'nonce',
      'sid',
      'typ',
    ],
    ...[
      'email',
      'email_verified',
      'preferred_username',
      'active',
      'token_type',
      'username',
      'status',
      'sub_id',
      'events',
    ],
    // Some libraries do not tell one case from the other, and some write words together or apart.
    ...['SUB', 'Scope', 'clientId', 'client-id', 'ClientID', 'authTime', 'preferredUsername'],
    // One of what there may be many of, and what others call a client.
    ...['role', 'group', 'permission', 'authority', 'cid', 'appid', 'oid', 'wids', 'idtyp'],
    // What .NET makes of sub and roles. A token may also say it itself, and the first one counts.
    'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier',
    'http://schemas.microsoft.com/ws/2008/06/identity/claims/role',
    'HTTP://SCHEMAS.MICROSOFT.COM/identity/claims/scope',
  ])('%s', (name) => {
    expect(fixedClaimProblems({ [name]: 'x' })).toEqual([{ kind: 'reserved', name }])
  })

  test('a claim of a hand-written row never stands for one of the service', () => {
    const claims = accessTokenClaims(
      'https://issuer.example.com',
      { ...grant, claims: { iss: 'x', sub: 'y', aud: 'z' } },
      1,
      'id',
    )
    expect(claims).toMatchObject({ iss: 'https://issuer.example.com', sub: 'billing', aud: 'urn:a' })
  })
})

test('have one text, whatever order they came in, and none where there are none', () => {
  expect(claimsText({ b: 1, a: ['x'] })).toBe('{"a":["x"],"b":1}')
  expect(claimsText({ a: ['x'], b: 1 })).toBe('{"a":["x"],"b":1}')
  expect([claimsText({}), claimsText(undefined)]).toEqual([undefined, undefined])
})

test('contradict each other where both have a name with values that differ', () => {
  expect(contradictions({ a: 1, b: ['x'], c: 'y' }, { a: '1', b: ['x'], d: 'z' })).toEqual(['a'])
  expect(contradictions({ toString_: 'x' }, {})).toEqual([])
  expect(contradictions(undefined, { a: 1 })).toEqual([])
})

function letters(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String.fromCharCode(97 + index))
}

test('a claim in another case of letters is the same one', () => {
  expect(contradictions({ tenant: 'acme' }, { Tenant: 'evil' })).toEqual(['tenant'])
  expect(contradictions({ tenant: 'acme' }, { Tenant: 'acme' })).toEqual(['tenant'])
  expect(contradictions({ tenant: 'acme' }, { tenant: 'acme', tenants: 'evil' })).toEqual([])
})

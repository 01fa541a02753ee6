/** What is read of an assertion that another issuer signed, and what is refused before anybody looks at the signature. */
import { describe, expect, test } from 'vitest'
import { readFederatedText } from '../../src/authentication/federated-assertion.ts'
import { limits } from '../../src/limits.ts'
import { makeKey, signed } from '../support/assertion.ts'

const key = makeKey('ES256', 'one')
const now = 1_800_000_000
const [issuer, subject] = ['https://idp.example.com', 'job:7']
const domain = 'spiffe://example.org'
const workload = `${domain}/ns/payments/sa/api`

/** Members of undefined are left out. */
const read = (claims: object, header: object = {}) =>
  readFederatedText(
    signed(
      key,
      { alg: 'ES256', kid: 'one', ...header },
      { iss: issuer, sub: subject, aud: 'us', exp: now + 60, ...claims },
    ),
  )

test('an assertion gives what it says', () => {
  const claims = { iss: issuer, sub: subject, aud: 'us', exp: now + 60, iat: now, nbf: now - 1, jti: 'j' }
  expect(read(claims)).toMatchObject({
    issuer,
    subject,
    refusal: undefined,
    assertion: {
      issuer,
      subject,
      audience: 'us',
      jti: 'j',
      kid: 'one',
      algorithm: 'ES256',
      expiresAt: now + 60,
      issuedAt: now,
      notBefore: now - 1,
      claims,
    },
  })
})

describe('the type', () => {
  test.each([
    undefined,
    'JWT',
    'JOSE',
    'application/jwt',
    'client-authentication+jwt',
    'authorization-grant+jwt',
  ])('%s is one of tokens for workloads', (typ) => {
    expect(read({}, { typ }).refusal).toBeUndefined()
  })

  test.each([
    ['', 'assertion_type_wrong'],
    ['at+jwt', 'assertion_type_wrong'],
    ['dpop+jwt', 'assertion_type_wrong'],
    ['oauth-id-jag+jwt', 'assertion_about_user'],
  ])('%j is refused: %s', (typ, reason) => {
    expect(read({}, { typ })).toEqual({ issuer, subject, refusal: reason, assertion: undefined })
  })
})

describe('the audience', () => {
  test.each<[unknown, string | undefined]>([
    ['us', 'us'],
    [['us'], 'us'],
    [['us', 'them'], undefined],
    [[], undefined],
    [7, undefined],
    [[7], undefined],
    [{ us: true }, undefined],
    [[['us']], undefined],
  ])('%j names %s alone', (aud, audience) => {
    expect(read({ aud })).toMatchObject({ refusal: undefined, assertion: { audience } })
  })
})

test.each<[title: string, claims: object]>([
  ['no subject', { sub: undefined }],
  ['an empty subject', { sub: '' }],
  ['no issuer', { iss: undefined }],
  ['an issuer that is no text', { iss: [issuer] }],
  ['no audience', { aud: undefined }],
  ['no end', { exp: undefined }],
  ['an empty jti', { jti: '' }],
  ['a jti that is no text', { jti: 7 }],
  ['a long issuer', { iss: 'i'.repeat(limits.issuerCharactersMax + 1) }],
  ['a long subject', { sub: 's'.repeat(limits.subjectCharactersMax + 1) }],
  ['a control character in the issuer', { iss: `${issuer}\n` }],
  ['a control character in the subject', { sub: `${subject}\0` }],
])('%s is no claim that can be used', (_title, claims) => {
  expect(read(claims)).toMatchObject({ refusal: 'assertion_claims_malformed', assertion: undefined })
})

test('issuer and subject may be as long as the limit', () => {
  const longest = {
    iss: 'i'.repeat(limits.issuerCharactersMax),
    sub: 's'.repeat(limits.subjectCharactersMax),
  }
  expect(read(longest).assertion).toMatchObject({ issuer: longest.iss, subject: longest.sub })
})

test('a text that is no JWT says nothing of anybody', () => {
  expect(readFederatedText('x')).toEqual({
    issuer: undefined,
    subject: undefined,
    refusal: 'assertion_malformed',
    assertion: undefined,
  })
})

describe('the workload of a trust domain', () => {
  test.each([
    'spiffe://example.org/a',
    'spiffe://a_b-1.example.org/ns/a.b/sa/..c',
    `spiffe://${'d'.repeat(200)}/A_z-9`,
  ])('%s is of the domain that it begins with', (sub) => {
    const trustDomain = sub.slice(0, sub.indexOf('/', 9))
    expect(read({ iss: undefined, sub }).assertion).toMatchObject({ issuer: trustDomain, subject: sub })
    expect(read({ iss: trustDomain, sub }).refusal).toBeUndefined()
  })

  test.each([
    'spiffe://example.org',
    'spiffe://example.org/',
    'spiffe://example.org/a/',
    'spiffe://example.org//a',
    'spiffe://example.org/.',
    'spiffe://example.org/./a',
    'spiffe://example.org/a/../b',
    'spiffe://example.org/a/..',
    'spiffe://example.org/a?b',
    'spiffe://example.org/a%2fb',
    'spiffe://example.org:443/a',
    'spiffe://Example.org/a',
    `spiffe://${'d'.repeat(256)}/a`,
    'SPIFFE://example.org/a',
    'x spiffe://example.org/a',
    'spiffe:///a',
  ])('%s names none, with or without an issuer', (sub) => {
    expect(read({ iss: undefined, sub }).refusal).toBe('assertion_claims_malformed')
    expect(read({ iss: domain, sub }).refusal).toBe('assertion_claims_malformed')
  })

  test('is named by no other domain', () => {
    expect(read({ iss: 'spiffe://other.example', sub: workload }).refusal).toBe('assertion_claims_malformed')
    expect(read({ iss: 'spiffe://other.example', sub: subject }).refusal).toBe('assertion_claims_malformed')
    expect(read({ iss: `${domain}/`, sub: workload }).refusal).toBe('assertion_claims_malformed')
  })

  test('may be named by an issuer of another kind, which need not name workloads', () => {
    expect(read({ sub: workload }).assertion).toMatchObject({ issuer, subject: workload })
    expect(read({ iss: 'urn:spiffe:', sub: subject }).assertion).toMatchObject({ issuer: 'urn:spiffe:' })
  })
})

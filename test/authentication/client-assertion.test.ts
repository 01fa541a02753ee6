/** What is read of an assertion, whose it says it is, and what is refused before anybody looks at the signature. */
import { describe, expect, test } from 'vitest'
import { readAssertion } from '../../src/authentication/client-assertion.ts'
import { makeKey, signed } from '../support/assertion.ts'

const key = makeKey('ES256', 'one')
const now = 1_800_000_000
const workload = 'spiffe://example.org/ns/payments/sa/api'
const claims = { iss: 'billing', sub: 'billing', aud: 'us', exp: now + 60, jti: 'j' }

/** Members of undefined are left out. */
const textOf = (changes: object = {}, header: object = {}) =>
  signed(key, { alg: 'ES256', kid: 'one', ...header }, { ...claims, ...changes })
const read = (changes: object = {}, header: object = {}) => readAssertion(textOf(changes, header))

describe('an assertion of a client itself', () => {
  test('gives what it says', () => {
    const text = textOf({ iat: now, nbf: now - 1 })
    const [header, payload, signature = ''] = text.split('.')
    expect(readAssertion(text)).toEqual({
      clientId: 'billing',
      refusal: undefined,
      parsed: {
        clientId: 'billing',
        algorithm: 'ES256',
        kid: 'one',
        audience: 'us',
        expiresAt: now + 60,
        notBefore: now - 1,
        issuedAt: now,
        jti: 'j',
        signedBytes: Buffer.from(`${header}.${payload}`),
        signature: Buffer.from(signature, 'base64url'),
      },
    })
  })

  test.each([undefined, 'JWT', 'application/jwt', 'client-authentication+jwt'])(
    'may be of type %s',
    (typ) => {
      expect(read({}, { typ }).refusal).toBeUndefined()
    },
  )

  test.each(['', 'at+jwt', 'dpop+jwt', 'jose', 'authorization-grant+jwt', 'oauth-id-jag+jwt'])(
    'is not of type %j',
    (typ) => {
      expect(read({}, { typ })).toEqual({
        clientId: 'billing',
        refusal: 'assertion_type_wrong',
        parsed: undefined,
      })
    },
  )

  test.each<[title: string, changes: object, clientId?: string]>([
    ['no subject', { sub: undefined }],
    ['an empty subject', { sub: '' }],
    ['a subject that is no text', { sub: ['billing'] }],
    ['no issuer', { iss: undefined }],
    ['no end', { exp: undefined }],
    ['an end that is no number', { exp: 'tomorrow' }],
    ['no identifier of its own', { jti: undefined }],
    ['an empty identifier of its own', { jti: '' }],
    ['no audience', { aud: undefined }],
  ])('with %s is refused, and says whose it would be', (_title, changes) => {
    expect(read(changes)).toEqual({
      clientId: 'billing',
      refusal: 'assertion_claims_malformed',
      parsed: undefined,
    })
  })

  test.each<[title: string, iss: unknown, sub: unknown]>([
    ['nothing', undefined, undefined],
    ['empty texts', '', ''],
    ['one number', 7, 7],
    ['nothing, and an empty text', undefined, ''],
  ])('whose issuer and subject are %s names no client', (_title, iss, sub) => {
    expect(read({ iss, sub })).toEqual({
      clientId: undefined,
      refusal: 'assertion_claims_malformed',
      parsed: undefined,
    })
  })

  test('that is no JWT, or has a header that is not supported, says so', () => {
    expect(readAssertion('x')).toEqual({
      clientId: undefined,
      refusal: 'assertion_malformed',
      parsed: undefined,
    })
    expect(read({}, { crit: ['x'] })).toEqual({
      clientId: 'billing',
      refusal: 'assertion_header_unsupported',
      parsed: undefined,
    })
  })
})

describe('an assertion of another issuer', () => {
  test.each<[title: string, changes: object, issuer: string]>([
    ['names an issuer that is not its subject', { iss: 'https://idp.example' }, 'https://idp.example'],
    ['names a workload and no issuer', { iss: undefined, sub: workload }, 'spiffe://example.org'],
  ])('%s', (_title, changes, issuer) => {
    const { clientId, refusal, parsed, federated } = read(changes)
    expect([clientId, refusal, parsed]).toEqual([undefined, undefined, undefined])
    expect(federated).toMatchObject({ issuer, refusal: undefined, assertion: { issuer, audience: 'us' } })
  })

  test('is a JWT-SVID if it was sent as one, and its issuer is the trust domain, whatever it says', () => {
    for (const iss of [workload, undefined, 'https://idp.example']) {
      expect(readAssertion(textOf({ iss, sub: workload }), true).federated).toMatchObject({
        issuer: 'spiffe://example.org',
        subject: workload,
        refusal: undefined,
      })
    }
    const noWorkload = readAssertion(textOf(), true)
    expect(noWorkload).toMatchObject({
      refusal: 'assertion_claims_malformed',
      federated: { issuer: undefined },
    })
  })

  test.each<[refusal: string, changes: object, header?: object]>([
    ['assertion_claims_malformed', { aud: undefined }],
    ['assertion_claims_malformed', { iss: undefined, sub: 'spiffe://example.org' }],
    ['assertion_type_wrong', {}, { typ: 'at+jwt' }],
    ['assertion_about_user', {}, { typ: 'oauth-id-jag+jwt' }],
  ])('%s is told of it as well', (refusal, changes, header) => {
    const answer = read({ iss: 'https://idp.example', ...changes }, header)
    expect(answer).toMatchObject({ clientId: undefined, refusal, parsed: undefined, federated: { refusal } })
  })

  test('only an id of a trust domain stands for an issuer that is not named', () => {
    for (const sub of ['x spiffe://', 'a/spiffe://', 'spiffe:/example.org/a', 'https://idp.example/a']) {
      expect(read({ iss: undefined, sub })).toMatchObject({
        clientId: sub,
        refusal: 'assertion_claims_malformed',
      })
    }
  })
})

/** The choice of a method, and what is known of a caller by the method alone. */
import { expect, test } from 'vitest'
import {
  authenticationMethods,
  claimedMethod,
  isOfMethod,
  saysRegistered,
} from '../../src/authentication/authenticate.ts'
import type { Credentials, PresentedCredentials } from '../../src/authentication/method.ts'
import { OAuthError, type RefusalReason, refusals } from '../../src/refusals.ts'

const nothing: PresentedCredentials = {
  authorization: undefined,
  clientId: undefined,
  clientSecret: undefined,
  clientAssertion: undefined,
  clientAssertionType: undefined,
}
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const assertion = { clientId: 'billing', refusal: undefined, parsed: undefined }
const certificate = {} as NonNullable<PresentedCredentials['certificate']>

test('methods without certificates have their names (RFC 7591 §2); an assertion of another issuer has no name of its own', () => {
  expect(authenticationMethods).toEqual(['client_secret_basic', 'client_secret_post', 'private_key_jwt'])
})

test.each([
  ['client_secret_basic', 'client_secret_basic', true],
  ['client_secret_basic', 'client_secret_post', false],
  ['tls_client_auth', 'tls_client_auth', true],
  ['tls_client_auth', 'self_signed_tls_client_auth', true],
  ['tls_client_auth', 'private_key_jwt', false],
  ['private_key_jwt', 'self_signed_tls_client_auth', false],
])('%s of a client that is registered for %s: %s', (method, registered, is) => {
  expect(isOfMethod({ method } as Credentials, registered)).toBe(is)
})

const basic = { isBasic: true, clientId: 'billing', secret: 'x', refusal: undefined }

test.each<[said: string | undefined, presented: Partial<PresentedCredentials>]>([
  [undefined, {}],
  [undefined, { clientId: 'billing' }],
  ['client_secret_basic', { authorization: basic }],
  ['other', { authorization: { ...basic, isBasic: false } }],
  ['client_secret_basic', { authorization: basic, clientSecret: 'x' }],
  ['client_secret_post', { clientId: 'billing', clientSecret: 'x' }],
  ['private_key_jwt', { clientAssertion: assertion }],
  ['private_key_jwt', { clientAssertion: assertion, clientAssertionType: jwtBearer }],
  ['private_key_jwt', { clientAssertionType: jwtBearer }],
  ['client_assertion', { clientAssertion: assertion, clientAssertionType: 'saml2-bearer' }],
  ['federated_jwt', { clientAssertionType: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe' }],
  ['tls_client_auth', { certificate, clientId: 'billing' }],
  [undefined, { certificate }],
])('a record says %s of %j', (said, presented) => {
  expect(claimedMethod({ ...nothing, ...presented })).toBe(said)
})

test('a client is known to be registered by what only a registered one can be refused for', () => {
  const names = (Object.keys(refusals) as RefusalReason[]).filter((reason) =>
    saysRegistered(new OAuthError(reason)),
  )
  expect(names.toSorted()).toEqual([
    'assertion_key_unknown',
    'assertion_signature_wrong',
    'certificate_key_unknown',
    'certificate_subject_mismatch',
    'client_deleted',
    'client_disabled',
    'client_expired',
    'client_has_no_certificate',
    'client_has_no_key',
    'client_has_no_secret',
    'client_key_unusable',
    'secret_wrong',
  ])
  expect(saysRegistered(Object.assign(new Error('x'), { reason: 'secret_wrong' }))).toBe(false)
})

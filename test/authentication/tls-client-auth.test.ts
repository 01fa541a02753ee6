/** A client's certificate from the request to the judgement: whose it is, what is looked up, and what counts as a failure. */
import { describe, expect, test, vi } from 'vitest'
import type { JudgedCertificate } from '../../src/authentication/certificate.ts'
import type {
  AuthenticationEdges,
  CertificateCredentials,
  PresentedCredentials,
  Proof,
  UseEdges,
} from '../../src/authentication/method.ts'
import { tlsClientAuth } from '../../src/authentication/tls-client-auth.ts'
import { OAuthError } from '../../src/refusals.ts'
import type { RegisteredClient, RegisteredKey } from '../../src/registry/client.ts'

const now = 1_800_000_000
const path = { notBefore: now - 10, notAfter: now + 10, revocationKnownUntil: undefined }
const certificate: JudgedCertificate = {
  thumbprint: 'of the certificate',
  names: { subject: '', dns: ['billing.example'], uris: [], addresses: [], emails: [] },
  keyThumbprint: 'of the key',
  fault: undefined,
  notBefore: now - 10,
  notAfter: now + 10,
  paths: [path],
  untrusted: 'certificate_untrusted',
}
const fault = 'certificate_malformed'
const field = (value: string) => ({ name: 'tls_client_auth_san_dns', value }) as const
const key = (thumbprint: string, changes: object = {}) =>
  ({ thumbprint, revokedAt: undefined, expiresAt: undefined, ...changes }) as RegisteredKey

const client = (changes: Partial<RegisteredClient> = {}) =>
  ({
    status: 'active',
    expiresAt: undefined,
    tokenEndpointAuthMethod: 'tls_client_auth',
    certificateField: field('billing.example'),
    keys: [],
    ...changes,
  }) as unknown as RegisteredClient
const selfSigned = (...keys: RegisteredKey[]) =>
  client({
    tokenEndpointAuthMethod: 'self_signed_tls_client_auth',
    certificateField: undefined,
    keys,
  })
const ownKey = selfSigned(key('another'), key('of the key'))

const credentials = (changes: Partial<JudgedCertificate> = {}): CertificateCredentials => ({
  method: 'tls_client_auth',
  clientId: 'billing',
  certificate: { ...certificate, ...changes },
})

describe('a request', () => {
  const complete = { certificate, clientId: 'billing' }

  test('of this method brings a certificate, an identifier, and nothing else', () => {
    const isPresented = (more: object) =>
      tlsClientAuth.isPresented({ ...complete, ...more } as PresentedCredentials)
    expect(isPresented({})).toBe(true)
    for (const more of [
      { certificate: undefined },
      { clientId: undefined },
      { authorization: {} },
      { clientSecret: '' },
      { clientAssertion: {} },
      { clientAssertionType: '' },
    ])
      expect(isPresented(more), JSON.stringify(more)).toBe(false)
  })

  test('is read, or has nothing of it', () => {
    const parse = (presented: object) => tlsClientAuth.parse(presented as PresentedCredentials)
    expect(parse(complete)).toEqual(credentials())
    for (const missing of [{ clientId: 'billing' }, { certificate }])
      expect(() => parse(missing)).toThrow(expect.objectContaining({ reason: 'authentication_missing' }))
  })
})

describe('who is let in', () => {
  async function admit(
    given: CertificateCredentials,
    inMemory: RegisteredClient | undefined,
    found?: RegisteredClient,
  ) {
    const fail = vi.fn()
    const fits: boolean[] = []
    const edges = {
      registry: {
        clientNow: () => inMemory,
        lookUpCertified: async (_id: string, isRight: (each: RegisteredClient) => boolean) => {
          fits.push(found !== undefined && isRight(found))
          return found
        },
      },
      failureLimit: { fail },
      clock: { nowSeconds: () => now },
    } as unknown as AuthenticationEdges
    try {
      const admitting = tlsClientAuth.admit(edges, given, '10.0.0.1')
      const waits = admitting instanceof Promise
      return { admitted: (await admitting) === given, waits, fits, failures: fail.mock.calls }
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      return { reason: error.reason, id: error.credentialId, fits, failures: fail.mock.calls }
    }
  }
  const failed = (reason: string, fits = [false]) => ({
    reason,
    id: 'of the certificate',
    fits,
    failures: [['billing', '10.0.0.1']],
  })

  test('whose certificate is right by memory waits for nothing; otherwise the database is asked', async () => {
    for (const right of [client(), ownKey]) {
      expect(await admit(credentials(), right)).toEqual({
        admitted: true,
        waits: false,
        fits: [],
        failures: [],
      })
      const later = { admitted: true, waits: true, fits: [true], failures: [] }
      expect(await admit(credentials(), undefined, right)).toEqual(later)
      expect(await admit(credentials(), client({ certificateField: field('other.example') }), right)).toEqual(
        later,
      )
    }
  })

  test.each<[reason: string, found: RegisteredClient | undefined, changes?: Partial<JudgedCertificate>]>([
    ['client_unknown', undefined],
    ['client_disabled', client({ status: 'disabled', certificateField: undefined })],
    ['client_expired', client({ expiresAt: now, certificateField: undefined })],
    ['client_has_no_certificate', client({ certificateField: undefined })],
    ['certificate_subject_mismatch', client({ certificateField: field('other.example') })],
    ['certificate_untrusted', client(), { paths: [] }],
    [fault, client(), { fault }],
    ['client_has_no_key', selfSigned()],
    ['certificate_key_unknown', selfSigned(key('another'))],
    ['certificate_key_unknown', ownKey, { keyThumbprint: undefined }],
    [fault, ownKey, { fault }],
  ])('%s', async (reason, found, changes) => {
    expect(await admit(credentials(changes), undefined, found)).toEqual(failed(reason))
  })
})

test('the proof names the certificate, and the method by which the client is registered', () => {
  const prove = (of: RegisteredClient | undefined) =>
    tlsClientAuth.prove({} as AuthenticationEdges, credentials(), of, '10.0.0.1')
  const proof = { credentialId: 'of the certificate', checkedHash: undefined, certificate }
  expect(prove(client())).toEqual({ ...proof, matched: true, method: 'tls_client_auth' })
  expect(prove(ownKey)).toEqual({ ...proof, matched: true, method: 'self_signed_tls_client_auth' })
  expect(prove(undefined)).toEqual({ ...proof, matched: false, method: 'tls_client_auth' })
  expect(prove(selfSigned())).toEqual({ ...proof, matched: false, method: 'self_signed_tls_client_auth' })
})

test.each<[reason: string | undefined, of: RegisteredClient, changes?: Partial<JudgedCertificate>]>([
  [undefined, client()],
  [undefined, ownKey],
  ['certificate_subject_mismatch', client({ certificateField: field('other.example') })],
  ['certificate_authority_expired', client(), { paths: [{ ...path, notAfter: now }] }],
  [undefined, ownKey, { paths: [] }],
  ['certificate_expired', client(), { notAfter: now }],
  ['certificate_expired', ownKey, { notAfter: now }],
  ['certificate_not_yet_valid', ownKey, { notBefore: now + 1 }],
  ['client_key_revoked', selfSigned(key('of the key', { revokedAt: now + 5 }))],
  ['client_key_expired', selfSigned(key('of the key', { expiresAt: now }))],
  ['certificate_key_unknown', selfSigned(key('another'))],
])('%s is the judgement', (reason, of, changes = {}) => {
  const proof = { certificate: { ...certificate, ...changes } } as Proof
  expect(tlsClientAuth.judge(proof, of, now)).toBe(reason)
})

test('without a certificate nothing is proven', () => {
  expect(tlsClientAuth.judge({} as Proof, client(), now)).toBe('certificate_missing')
})

test('the use of a key that is registered is noted, and that of a name is not', () => {
  const note = vi.fn()
  const noteUse = (proof: object) =>
    tlsClientAuth.noteUse({ keyUses: { note } } as unknown as UseEdges, 'billing', proof as Proof, {
      time: 7,
    })
  noteUse({ method: 'tls_client_auth', certificate })
  noteUse({
    method: 'self_signed_tls_client_auth',
    certificate: { ...certificate, keyThumbprint: undefined },
  })
  noteUse({ method: 'self_signed_tls_client_auth' })
  expect(note).not.toHaveBeenCalled()
  noteUse({ method: 'self_signed_tls_client_auth', certificate })
  expect(note.mock.calls).toEqual([
    [{ clientId: 'billing', thumbprint: 'of the key', time: 7, audience: 'issuer' }],
  ])
})

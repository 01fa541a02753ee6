/** What follows from a certificate at a moment: whether it counts, and whether a client must bring one. */
import { describe, expect, test } from 'vitest'
import {
  demandRefusal,
  demandsCertificate,
  type JudgedCertificate,
  presentedCertificate,
  requireTrusted,
  trustRefusal,
} from '../../src/authentication/certificate.ts'
import { OAuthError } from '../../src/refusals.ts'

const now = 1_800_000_000
const path = { notBefore: now, notAfter: now + 1, revocationKnownUntil: undefined }
const over = { ...path, notAfter: now }
const unknown = { ...path, revocationKnownUntil: now }
const certificate: JudgedCertificate = {
  thumbprint: 'of the certificate',
  names: { subject: '', dns: ['billing.example'], uris: [], addresses: [], emails: [] },
  keyThumbprint: undefined,
  fault: undefined,
  notBefore: now,
  notAfter: now + 1,
  paths: [path],
  untrusted: 'certificate_untrusted',
}

const judgements: readonly (readonly [string | undefined, Partial<JudgedCertificate>])[] = [
  [undefined, {}],
  [undefined, { paths: [over, unknown, path] }],
  [undefined, { paths: [{ ...path, revocationKnownUntil: now + 1 }] }],
  ['certificate_malformed', { fault: 'certificate_malformed', paths: [] }],
  ['certificate_untrusted', { paths: [] }],
  ['certificate_untrusted', { paths: [], notAfter: now }],
  ['certificate_not_yet_valid', { notBefore: now + 1 }],
  ['certificate_expired', { notAfter: now }],
  ['certificate_authority_expired', { paths: [over] }],
  ['certificate_authority_expired', { paths: [{ ...path, notBefore: now + 1 }] }],
  ['certificate_revocation_unknown', { paths: [unknown] }],
  ['certificate_revocation_unknown', { paths: [unknown, over] }],
  ['certificate_authority_expired', { paths: [over, unknown] }],
]

test.each(judgements)('%s: a certificate of a CA with %o', (reason, changes) => {
  expect(trustRefusal({ ...certificate, ...changes }, now)).toBe(reason)
})

describe('a service that asks every caller for a certificate', () => {
  const refusedBy = (given: JudgedCertificate | undefined) => {
    try {
      requireTrusted(given, now)
      return undefined
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      return { reason: error.reason, credentialId: error.credentialId }
    }
  }

  test('refuses a request without one', () => {
    expect(refusedBy(undefined)).toEqual({ reason: 'certificate_missing', credentialId: undefined })
  })

  test.each(judgements)('%s: with %o', (reason, changes) => {
    expect(refusedBy({ ...certificate, ...changes })).toEqual(
      reason === undefined ? undefined : { reason, credentialId: 'of the certificate' },
    )
  })
})

describe('a client', () => {
  const field = (value: string) => ({ name: 'tls_client_auth_san_dns', value }) as const
  const named = { requiredCertificate: field('billing.example') }
  const bound = { certificateBoundTokens: true }
  const free = { certificateBoundTokens: false }

  test.each([
    [true, named],
    [true, bound],
    [true, { ...named, certificateBoundTokens: true }],
    [false, free],
    [false, {}],
  ])('must bring a certificate: %s, with %o', (must, client) => {
    expect(demandsCertificate(client)).toBe(must)
    expect(demandRefusal(client, undefined, now)).toBe(must ? 'certificate_missing' : undefined)
  })

  const ofNobody = { ...certificate, paths: [] }
  const expired = { ...certificate, notAfter: now }
  test.each([
    [undefined, named, certificate],
    ['certificate_untrusted', named, ofNobody],
    ['certificate_expired', named, expired],
    ['certificate_subject_mismatch', { ...named, requiredCertificate: field('other.example') }, certificate],
    // Tokens are bound to a certificate, whoever issued it.
    [undefined, bound, ofNobody],
    ['certificate_expired', bound, expired],
    ['certificate_untrusted', { ...named, certificateBoundTokens: true }, ofNobody],
    [undefined, free, expired],
  ])('%s: what %o demands, of a certificate', (reason, client, given) => {
    expect(demandRefusal(client, given, now)).toBe(reason)
  })
})

test('a chain has another name whenever a byte of it is in another place', () => {
  const [leaf, first, second] = ['leaf', 'one', 'two'].map((text) => Buffer.from(text)) as [
    Buffer,
    Buffer,
    Buffer,
  ]
  const chains: [Buffer, Buffer[]][] = [
    [leaf, []],
    [leaf, [first]],
    [leaf, [first, second]],
    [leaf, [second, first]],
    [leaf, [Buffer.concat([first, second])]],
    [Buffer.concat([leaf, first]), [second]],
    [Buffer.concat([leaf, first]), []],
  ]
  const presented = chains.map(([one, others]) => presentedCertificate(one, others))
  expect(new Set(presented.map(({ id }) => id)).size).toBe(chains.length)
  expect(presented[2]).toEqual({ leaf, intermediates: [first, second], id: presented[2]?.id })
  expect(presentedCertificate(leaf, [first]).id).toBe(presented[1]?.id)
})

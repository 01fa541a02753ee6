/** Which certificate is that of the proxy which tells of the certificates of callers, and when it is believed. */
import { describe, expect, test } from 'vitest'
import type { JudgedCertificate } from '../../src/authentication/certificate.ts'
import { proxyStanding, readProxyName } from '../../src/authentication/certificate-proxy.ts'

const now = 1_800_000_000
const bytes = Buffer.from('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 'hex')
const hex = bytes.toString('hex')
const colons = hex.toUpperCase().match(/../g)?.join(':')
const pinned = { thumbprint: bytes.toString('base64url') }
const [front, spiffe] = ['front.example.com', 'spiffe://td/front']
const byDns = { field: { name: 'tls_client_auth_san_dns', value: front } } as const
const byUri = { field: { name: 'tls_client_auth_san_uri', value: spiffe } } as const

describe('the name that the operator gives', () => {
  test.for<[text: string, expected: unknown]>([
    [`sha256:${hex}`, pinned],
    [`sha256:${colons}`, pinned],
    [`dns:${front}`, byDns],
    [`uri:${spiffe}`, byUri],
  ])('%s', ([text, expected]) => {
    expect(readProxyName(text)).toEqual(expected)
  })

  test.for<[text: string, problem: RegExp]>([
    ['dns:*.example.com', /^has a wildcard/],
    ['dns:', /^is no DNS name/],
    ['dns:sha256:', /^is no DNS name/],
    ['uri:spiffe://td/a/../front', /SPIFFE/],
    ['uri:dns:', /URI/],
  ])('%s is none', ([text, problem]) => {
    expect(() => readProxyName(text)).toThrow(problem)
  })
})

const valid = { notBefore: now - 10, notAfter: now + 10 }
/** Of a CA. */
const trusted: JudgedCertificate = {
  ...valid,
  thumbprint: pinned.thumbprint,
  names: { subject: '', dns: [front], uris: [spiffe], addresses: [], emails: [] },
  keyThumbprint: undefined,
  fault: undefined,
  paths: [{ ...valid, revocationKnownUntil: undefined }],
  untrusted: 'certificate_untrusted',
}
const ofNobody: JudgedCertificate = { ...trusted, paths: [] }
const expired: JudgedCertificate = { ...trusted, notAfter: now }
const weak: JudgedCertificate = { ...trusted, fault: 'certificate_weak' }
const otherPin = { thumbprint: Buffer.alloc(32).toString('base64url') }
const otherName = readProxyName('dns:other.example.com')

describe('a certificate', () => {
  test.for<[standing: string, what: string, JudgedCertificate, ReturnType<typeof readProxyName>[]]>([
    ['other', 'while nothing is named', trusted, []],
    ['other', 'with another thumbprint and another name', trusted, [otherPin, otherName]],
    ['proxy', 'with the thumbprint', trusted, [pinned]],
    ['proxy', 'with the thumbprint, and of no CA', ofNobody, [pinned]],
    ['unproven', 'with the thumbprint, and expired', expired, [pinned]],
    ['unproven', 'with the thumbprint, and weak', weak, [pinned]],
    ['proxy', 'with the DNS name, of a CA', trusted, [byDns]],
    ['proxy', 'with the URI, of a CA', trusted, [byUri]],
    ['unproven', 'with the DNS name, and of no CA', ofNobody, [byDns]],
    ['unproven', 'with the DNS name, and expired', expired, [byDns]],
    ['proxy', 'with any one of the names', trusted, [otherPin, otherName, byDns]],
    ['proxy', 'that one of the names does not prove, and another one does', ofNobody, [byDns, pinned]],
    ['unproven', 'that one of the names does not prove, before another one', ofNobody, [byDns, otherPin]],
  ])('is %s: %s', ([standing, , certificate, names]) => {
    expect(proxyStanding(certificate, names, now)).toBe(standing)
  })
})

/** What names a client in its certificate: what may be registered, and what fits. */
import { describe, expect, test } from 'vitest'
import {
  type CertificateNames,
  fieldMatches,
  fieldProblem,
} from '../../src/authentication/certificate-field.ts'
import { nameText, parseName } from '../../src/authentication/distinguished-name.ts'
import { limits } from '../../src/limits.ts'
import type { CertificateFieldName } from '../../src/registry/client.ts'

type Short = 'subject_dn' | 'san_dns' | 'san_uri' | 'san_ip' | 'san_email'
const field = (short: Short, value: string) => ({
  name: `tls_client_auth_${short}` as CertificateFieldName,
  value,
})
const names = (more: Partial<CertificateNames>): CertificateNames => {
  return { subject: '', dns: [], uris: [], addresses: [], emails: [], ...more }
}
const label = 'l'.repeat(63)
/** As long as a name in DNS may be: 253 characters. */
const longestDns = [label, label, label, label.slice(2)].join('.')
const longestUri = `urn:${'a'.repeat(limits.certificateFieldCharactersMax - 4)}`
const subject = (text: string) => names({ subject: nameText(parseName(text)) })

describe('fits', () => {
  test.each<[Short, string, CertificateNames]>([
    ['subject_dn', 'CN=billing,O=Example', subject('cn=billing, o=Example')],
    ['san_dns', 'billing.example.com', names({ dns: ['other.example.com', 'Billing.EXAMPLE.com'] })],
    ['san_dns', 'billing', names({ dns: ['billing'] })],
    ['san_dns', 'a.b-1_c.d', names({ dns: ['a.b-1_c.d'] })],
    ['san_dns', longestDns, names({ dns: [longestDns] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/billing'] })],
    ['san_uri', 'spiffe://td/ns/a.b/sa/..c', names({ uris: ['spiffe://td/ns/a.b/sa/..c'] })],
    ['san_uri', 'https://td/spiffe:a', names({ uris: ['https://td/spiffe:a', 'urn:b'] })],
    ['san_uri', 'urn:example:%41%bc', names({ uris: ['urn:example:%41%bc'] })],
    ['san_uri', longestUri, names({ uris: [longestUri] })],
    ['san_uri', 'urn:example:billing', names({ uris: ['spiffe://td/x', 'urn:example:billing'] })],
    ['san_ip', '10.0.0.7', names({ addresses: ['0a000007'] })],
    ['san_ip', '2001:DB8::7', names({ addresses: ['20010db8000000000000000000000007'] })],
    ['san_email', 'Billing@example.com', names({ emails: ['no address', 'Billing@EXAMPLE.com'] })],
    ['san_email', 'Billing@EXAMPLE.com', names({ emails: ['Billing@example.com'] })],
  ])('%s %s', (short, value, given) => {
    expect(fieldProblem(field(short, value))).toBeUndefined()
    expect(fieldMatches(field(short, value), given)).toBe(true)
  })
})

describe('does not fit', () => {
  test.each<[Short, string, CertificateNames]>([
    ['subject_dn', 'CN=billing,O=Example', subject('CN=billing')],
    ['subject_dn', 'CN=billing', subject('CN=other,CN=billing')],
    ['subject_dn', 'CN=billing', names({ dns: ['billing'], uris: ['billing'], emails: ['billing'] })],
    ['san_dns', 'a.td', names({ dns: ['*.td', 'b.td'] })],
    ['san_dns', 'a.td', names({ dns: ['a.td.'] })],
    ['san_dns', 'a.td', names({ uris: ['a.td'], emails: ['a.td'] })],
    [
      'san_uri',
      'spiffe://td/billing',
      names({ dns: ['spiffe://td/billing'], emails: ['spiffe://td/billing'] }),
    ],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://other/billing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['SPIFFE://td/billing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://TD/billing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/billing/'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td:443/billing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/billing?x'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/x/../billing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/%62illing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/billing', 'spiffe://td/other'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/billing', 'https://td'] })],
    ['san_uri', 'spiffe://td/billing', names({})],
    ['san_uri', 'urn:example:a', names({ uris: ['urn:example:A'] })],
    ['san_ip', '10.0.0.7', names({ addresses: ['00000000000000000000ffff0a000007'] })],
    ['san_ip', '10.0.0.7', names({ dns: ['10.0.0.7'] })],
    ['san_email', 'Billing@example.com', names({ emails: ['billing@example.com'] })],
    ['san_email', 'a@example.com', names({ dns: ['a@example.com'] })],
    ['san_email', 'a@example.com', names({ emails: ['a@example.org', 'a@mail.example.com'] })],
    ['san_email', 'a@example.com', names({ emails: ['a', 'a@', '@example.com', 'a@a@example.com'] })],
  ])('%s %s: %o', (short, value, given) => {
    expect(fieldMatches(field(short, value), given)).toBe(false)
  })
})

describe('may not be registered, and fits nothing where a hand wrote it', () => {
  test.each<[Short, string, Partial<CertificateNames>]>([
    ['subject_dn', '', { subject: '' }],
    ['subject_dn', 'billing', {}],
    ['san_dns', '*.td', { dns: ['*.td'] }],
    ['san_dns', 'a.td.', { dns: ['a.td.'] }],
    ['san_dns', '', { dns: [''] }],
    ['san_dns', 'a td', { dns: ['a td'] }],
    ['san_dns', '-a.td', { dns: ['-a.td'] }],
    ['san_dns', 'a..td', { dns: ['a..td'] }],
    ['san_dns', `l${label}.td`, { dns: [`l${label}.td`] }],
    ['san_dns', `l${longestDns}`, { dns: [`l${longestDns}`] }],
    ['san_dns', `${longestDns}l`, { dns: [`${longestDns}l`] }],
    ['san_uri', '/billing', { uris: ['/billing'] }],
    ['san_uri', '1urn:a', { uris: ['1urn:a'] }],
    ['san_uri', 'urn:', { uris: ['urn:'] }],
    ['san_uri', 'urn:a b', { uris: ['urn:a b'] }],
    ['san_uri', 'urn:a%4', { uris: ['urn:a%4'] }],
    ['san_uri', 'urn:%zz', { uris: ['urn:%zz'] }],
    ['san_uri', `${longestUri}a`, { uris: [`${longestUri}a`] }],
    ['san_uri', 'spiffe:spiffe://td/a', { uris: ['spiffe:spiffe://td/a'] }],
    ['san_uri', 'spiffe://td', { uris: ['spiffe://td'] }],
    ['san_uri', 'spiffe://td/', { uris: ['spiffe://td/'] }],
    ['san_uri', 'spiffe://TD/a', { uris: ['spiffe://TD/a'] }],
    ['san_uri', 'SPIFFE://td/a', { uris: ['SPIFFE://td/a'] }],
    ['san_uri', 'spiffe://td:1/a', { uris: ['spiffe://td:1/a'] }],
    ['san_uri', 'spiffe://u@td/a', { uris: ['spiffe://u@td/a'] }],
    ['san_uri', 'spiffe://td/a/', { uris: ['spiffe://td/a/'] }],
    ['san_uri', 'spiffe://td//a', { uris: ['spiffe://td//a'] }],
    ['san_uri', 'spiffe://td/./a', { uris: ['spiffe://td/./a'] }],
    ['san_uri', 'spiffe://td/..', { uris: ['spiffe://td/..'] }],
    ['san_uri', 'spiffe://td/%2e', { uris: ['spiffe://td/%2e'] }],
    ['san_uri', 'spiffe://td/a?b', { uris: ['spiffe://td/a?b'] }],
    ['san_uri', 'spiffe://td/a#b', { uris: ['spiffe://td/a#b'] }],
    ['san_uri', `spiffe://td/${'a'.repeat(2_048)}`, {}],
    ['san_ip', '10.0.0', { addresses: [] }],
    ['san_ip', '010.0.0.1', {}],
    ['san_ip', '10.0.0.0/8', {}],
    ['san_ip', 'fe80::1%eth0', {}],
    ['san_email', 'a', { emails: ['a'] }],
    ['san_email', 'a@b@c', { emails: ['a@b@c'] }],
    ['san_email', '@b', { emails: ['@b'] }],
  ])('%s %j', (short, value, given) => {
    expect(fieldProblem(field(short, value))).toMatch(/^(?:is|has) /)
    expect(fieldMatches(field(short, value), names(given))).toBe(false)
  })

  test.each<[Short, string, string]>([
    ['subject_dn', 'billing', 'is no distinguished name (RFC 4514): it '],
    ['san_dns', '*.td', 'has a wildcard: a client is known by one whole name'],
    ['san_dns', 'a td', 'is no DNS name: '],
    ['san_uri', 'SPIFFE://td', 'is no SPIFFE ID of a workload: '],
    ['san_uri', 'billing', 'is no absolute URI'],
    ['san_uri', `${longestUri}a`, `is longer than ${limits.certificateFieldCharactersMax} characters`],
    ['san_ip', '10.0.0', 'is no IP address: '],
    ['san_email', 'a', 'is no e-mail address in ASCII'],
  ])('%s %j says why', (short, value, problem) => {
    expect(fieldProblem(field(short, value))).toContain(problem)
  })

  test('a field that there is not', () => {
    for (const name of ['tls_client_auth_cn', 'toString', '__proto__']) {
      expect(fieldMatches({ name: name as CertificateFieldName, value: 'a' }, names({ dns: ['a'] }))).toBe(
        false,
      )
    }
  })
})

/** What names a client in its certificate: what may be registered, and what fits. */
import { describe, expect, test } from 'vitest'
import {
  type CertificateNames,
  fieldMatches,
  fieldProblem,
} from '../../src/authentication/certificate-field.ts'
import { nameText, parseName } from '../../src/authentication/distinguished-name.ts'
import type { CertificateFieldName } from '../../src/registry/client.ts'

type Short = 'subject_dn' | 'san_dns' | 'san_uri' | 'san_ip' | 'san_email'
const field = (short: Short, value: string) => ({
  name: `tls_client_auth_${short}` as CertificateFieldName,
  value,
})
const names = (more: Partial<CertificateNames>): CertificateNames => {
  return { subject: '', dns: [], uris: [], addresses: [], emails: [], ...more }
}
const subject = (text: string) => names({ subject: nameText(parseName(text)) })

describe('fits', () => {
  test.each<[Short, string, CertificateNames]>([
    ['subject_dn', 'CN=billing,O=Example', subject('cn=billing, o=Example')],
    ['san_dns', 'billing.example.com', names({ dns: ['other.example.com', 'Billing.EXAMPLE.com'] })],
    ['san_dns', 'billing', names({ dns: ['billing'] })],
    ['san_uri', 'spiffe://td/billing', names({ uris: ['spiffe://td/billing'] })],
    ['san_uri', 'urn:example:billing', names({ uris: ['spiffe://td/x', 'urn:example:billing'] })],
    ['san_ip', '10.0.0.7', names({ addresses: ['0a000007'] })],
    ['san_ip', '2001:DB8::7', names({ addresses: ['20010db8000000000000000000000007'] })],
    ['san_email', 'Billing@example.com', names({ emails: ['Billing@EXAMPLE.com'] })],
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
    ['san_uri', '/billing', { uris: ['/billing'] }],
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

  test('a field that there is not', () => {
    for (const name of ['tls_client_auth_cn', 'toString', '__proto__']) {
      expect(fieldMatches({ name: name as CertificateFieldName, value: 'a' }, names({ dns: ['a'] }))).toBe(
        false,
      )
    }
  })
})

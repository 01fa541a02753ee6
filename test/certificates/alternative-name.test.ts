/** What may stand in a certificate has one spelling, and a mistake is named before anything is signed. */
import { describe, expect, test } from 'vitest'
import { parseAlternativeName, parseAlternativeNames } from '../../src/certificates/alternative-name.ts'
import { parsePermitted, permittedTexts, requirePermitted } from '../../src/certificates/permitted.ts'
import { CertificateProblem, type NameKind } from '../../src/certificates/problem.ts'

const outcomeOf = (work: () => unknown): unknown => {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof CertificateProblem)) throw error
    return 'mistake' in error.fields ? error.fields.mistake : error.code
  }
}

describe('a name', () => {
  test.each<[NameKind, string, string]>([
    ['dns', 'localhost', 'localhost'],
    ['dns', 'Orders.Example.COM', 'orders.example.com'],
    ['dns', '*.orders.example', '*.orders.example'],
    ['dns', 'xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['uri', 'spiffe://example.org', 'spiffe://example.org'],
    ['uri', 'spiffe://example.org/ns/prod/sa/Orders_1', 'spiffe://example.org/ns/prod/sa/Orders_1'],
    ['uri', 'https://orders.example.com:8443/a?b=c', 'https://orders.example.com:8443/a?b=c'],
    ['uri', 'urn:example:orders', 'urn:example:orders'],
    ['ip', '10.0.0.7', '10.0.0.7'],
    ['ip', '2001:DB8:0:0::7', '2001:db8::7'],
    ['ip', '::ffff:10.0.0.7', '10.0.0.7'],
    ['email', 'Orders@Example.com', 'Orders@example.com'],
  ])('%s %s stands as %s', (kind, text, value) => {
    expect(parseAlternativeName(kind, text)).toEqual({ kind, value })
  })

  test.each<[NameKind, string, string]>([
    ['dns', '', 'malformed'],
    ['dns', 'a..b', 'malformed'],
    ['dns', '.a', 'malformed'],
    ['dns', 'a.', 'malformed'],
    ['dns', '-a.example', 'malformed'],
    ['dns', 'a_b.example', 'malformed'],
    ['dns', 'a b', 'malformed'],
    ['dns', 'a\0.example', 'malformed'],
    ['dns', 'a.example\n', 'malformed'],
    ['dns', 'a,b', 'malformed'],
    ['dns', '1.2.3', 'malformed'],
    ['dns', `${'a'.repeat(64)}.example`, 'malformed'],
    ['dns', `${'a.'.repeat(150)}a`, 'too_long'],
    ['dns', 'bücher.example', 'not_ascii'],
    ['dns', '127.0.0.1', 'is_address'],
    ['dns', '::1', 'is_address'],
    ['dns', 'https://a.example', 'is_url'],
    ['dns', 'a@b.example', 'is_email'],
    ['dns', '*', 'wildcard'],
    ['dns', '*.example', 'wildcard'],
    ['dns', 'a.*.example', 'wildcard'],
    ['dns', 'a*.b.example', 'wildcard'],
    ['uri', 'orders', 'relative'],
    ['uri', '//orders', 'relative'],
    ['uri', 'https://a b/', 'malformed'],
    ['uri', 'https://a/%zz', 'malformed'],
    ['uri', 'https:///a', 'malformed'],
    ['uri', 'https://a/#b', 'has_fragment'],
    ['uri', 'https://user@a/', 'has_user'],
    ['uri', 'SPIFFE://example.org/a', 'spiffe_trust_domain'],
    ['uri', 'spiffe://Example.org/a', 'spiffe_trust_domain'],
    ['uri', 'spiffe:///a', 'spiffe_trust_domain'],
    ['uri', 'spiffe:example.org', 'spiffe_trust_domain'],
    ['uri', 'spiffe://example.org/', 'spiffe_path'],
    ['uri', 'spiffe://example.org/a/', 'spiffe_path'],
    ['uri', 'spiffe://example.org//a', 'spiffe_path'],
    ['uri', 'spiffe://example.org/../a', 'spiffe_path'],
    ['uri', 'spiffe://example.org/%2e', 'spiffe_path'],
    ['uri', 'spiffe://example.org:443/a', 'spiffe_extra'],
    ['uri', 'spiffe://me@example.org/a', 'spiffe_extra'],
    ['uri', 'spiffe://example.org/a?b', 'spiffe_extra'],
    ['ip', '10.0.0.0/8', 'is_network'],
    ['ip', '010.0.0.1', 'malformed'],
    ['ip', '10.0.0', 'malformed'],
    ['ip', 'fe80::1%eth0', 'malformed'],
    ['ip', 'localhost', 'malformed'],
    ['email', 'orders', 'malformed'],
    ['email', '@example.com', 'malformed'],
    ['email', 'a@b@example.com', 'malformed'],
    ['email', '"a b"@example.com', 'malformed'],
    ['email', '.a@example.com', 'malformed'],
  ])('%s %j is refused: %s', (kind, text, mistake) => {
    expect(outcomeOf(() => parseAlternativeName(kind, text))).toBe(mistake)
  })
})

describe('names together', () => {
  const none = { dns: [], uri: [], ip: [], email: [] }

  test('each stands once', () => {
    expect(parseAlternativeNames({ ...none, dns: ['a.example', 'A.example'], ip: ['::1'] })).toEqual([
      { kind: 'dns', value: 'a.example' },
      { kind: 'ip', value: '::1' },
    ])
  })

  test('a SPIFFE ID stands alone among the URIs (X.509-SVID §2)', () => {
    const uri = ['spiffe://example.org/a', 'https://a.example']
    expect(outcomeOf(() => parseAlternativeNames({ ...none, uri }))).toBe('spiffe_several')
  })

  test('there is an end to them', () => {
    const dns = Array.from({ length: 101 }, (_, index) => `a${index}.example`)
    expect(outcomeOf(() => parseAlternativeNames({ ...none, dns }))).toBe('alternative_names_too_many')
  })
})

describe('what a CA may sign for', () => {
  const permitted = parsePermitted(['example.org', '10.0.0.0/8'])

  test('is any name, where nothing was said', () => {
    expect(parsePermitted([])).toBeUndefined()
  })

  test('is what was said, and this machine', () => {
    expect(permitted === undefined ? [] : permittedTexts(permitted)).toEqual([
      'example.org',
      'localhost',
      '10.0.0.0/8',
      '127.0.0.0/8',
      '::1/128',
    ])
  })

  test.each([['*.example.org'], ['10.0.0.1/8'], ['a b'], ['https://a'], ['']])('is not %j', (text) => {
    expect(outcomeOf(() => parsePermitted([text]))).toBe('permitted_malformed')
  })

  test.each<[NameKind, string, boolean]>([
    ['dns', 'example.org', true],
    ['dns', 'a.b.example.org', true],
    ['dns', '*.example.org', true],
    ['dns', 'localhost', true],
    ['dns', 'badexample.org', false],
    ['dns', 'example.org.evil', false],
    ['uri', 'spiffe://example.org/a', true],
    ['uri', 'https://a.example.org:8443/b', true],
    ['uri', 'spiffe://example.com/example.org', false],
    ['uri', 'urn:example.org', false],
    ['ip', '10.255.0.1', true],
    ['ip', '127.0.0.1', true],
    ['ip', '::1', true],
    ['ip', '11.0.0.1', false],
    ['ip', '::2', false],
    ['email', 'a@example.org', true],
    ['email', 'example.org@example.com', false],
  ])('%s %s: %s', (kind, value, isRight) => {
    const outcome = outcomeOf(() => requirePermitted('name', [{ kind, value }], permitted))
    expect(outcome).toBe(isRight ? undefined : 'alternative_name_not_permitted')
  })
})

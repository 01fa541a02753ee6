/** What rows make of an issuer that a holder of the key-encryption key registered: they take away, and never give. */
import { describe, expect, test } from 'vitest'
import { subjectOfAssertion, type TrustedIssuer, type TrustRule } from '../../src/registry/issuer.ts'
import { believeIssuer, issuerStatement } from '../../src/registry/issuer-statement.ts'
import type { Statement } from '../../src/registry/seal-tree.ts'
import { ruleDefaults } from '../support/registered.ts'

const rule: TrustRule = {
  ...ruleDefaults,
  rule: 'deploy',
  conditions: [
    { claim: 'repository_id', equals: '74' },
    { claim: 'ref', oneOf: ['refs/heads/main'] },
  ],
  clientId: 'billing',
}
const workloads: TrustRule = {
  ...rule,
  rule: 'payments',
  conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
  clientId: undefined,
  access: [{ audience: 'urn:a', scopes: ['read', 'write'] }],
  tokenLifetimeSeconds: 60,
  requiredCertificate: { name: 'tls_client_auth_san_uri', value: subjectOfAssertion },
  requireDpop: 'any_key',
}
const issuer: TrustedIssuer = {
  issuer: 'https://idp.example.com',
  status: 'active',
  keys: { kind: 'jwks', keys: [{ kty: 'RSA', n: 'AQ', e: 'AQAB' }] },
  owner: 'Platform',
  rules: [rule, workloads],
}

/** A statement as it comes back from the database. */
const stored = (registered: TrustedIssuer): Statement =>
  JSON.parse(JSON.stringify(issuerStatement(registered))) as Statement
const believed = (row: TrustedIssuer, registered = issuer) => believeIssuer(row, stored(registered))

describe('the text', () => {
  test('is what earlier releases wrote, with the rules in the order of their names', () => {
    const text = [
      'issuer',
      'https://idp.example.com',
      'active',
      ['jwks', [{ kty: 'RSA', n: 'AQ', e: 'AQAB' }]],
      [
        [
          'deploy',
          [
            { claim: 'repository_id', equals: '74' },
            { claim: 'ref', one_of: ['refs/heads/main'] },
          ],
          'billing',
          null,
          'issuer',
          3_600,
          'once',
          null,
          false,
          false,
        ],
        [
          'payments',
          [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
          null,
          [['urn:a', ['read', 'write']]],
          'issuer',
          3_600,
          'once',
          60,
          false,
          false,
          'tls_client_auth_san_uri',
          '{sub}',
          'any_key',
        ],
      ],
    ]
    expect(issuerStatement(issuer)).toEqual(text)
    expect(issuerStatement({ ...issuer, rules: [workloads, rule] })).toEqual(text)
  })

  test('of a rule with one demand has a place for the other', () => {
    const demandsOf = (demands: Partial<TrustRule>) => {
      const text = issuerStatement({ ...issuer, rules: [{ ...rule, ...demands }] })
      return (text[4] as unknown[][])[0]?.slice(10)
    }
    expect(demandsOf({})).toEqual([])
    expect(demandsOf({ requireDpop: 'confirmed_key' })).toEqual([null, null, 'confirmed_key'])
    expect(demandsOf({ requiredCertificate: { name: 'tls_client_auth_san_dns', value: 'a.td' } })).toEqual([
      'tls_client_auth_san_dns',
      'a.td',
      null,
    ])
  })

  test.each<[TrustedIssuer['keys'], unknown[]]>([
    [{ kind: 'discovery' }, ['discovery']],
    [{ kind: 'client_metadata' }, ['client_metadata']],
    [{ kind: 'jwks_uri', url: 'https://a/keys' }, ['jwks_uri', 'https://a/keys']],
    [{ kind: 'spiffe_bundle', url: 'https://a/bundle' }, ['spiffe_bundle', 'https://a/bundle']],
    [{ kind: 'jwks', keys: [] }, ['jwks', []]],
  ])('says where the keys are: %j', (keys, text) => {
    expect(issuerStatement({ ...issuer, keys })[3]).toEqual(text)
  })
})

describe('what counts', () => {
  test('is what was registered, and who owns it is for people', () => {
    expect(believed(issuer)).toEqual({ issuer, differences: [] })
    const other = { ...issuer, owner: 'Somebody' }
    expect(believed(other)).toEqual({ issuer: other, differences: [] })
  })

  test('is no matter of the order in which the database has rules and members', () => {
    const row: TrustedIssuer = {
      ...issuer,
      keys: { kind: 'jwks', keys: [{ e: 'AQAB', n: 'AQ', kty: 'RSA' }] },
      rules: [workloads, { ...rule, conditions: rule.conditions.map((each) => ({ ...each })) }],
    }
    expect(believed(row)).toEqual({ issuer: row, differences: [] })
  })

  test('is less, where a hand took something away', () => {
    const fewer = { ...issuer, rules: [workloads] }
    expect(believed(fewer)).toEqual({ issuer: fewer, differences: [] })
    const disabled = { ...issuer, status: 'disabled' } as const
    expect(believed(disabled)).toEqual({ issuer: disabled, differences: [] })
    expect(believed(disabled, disabled)).toEqual({ issuer: disabled, differences: [] })
  })

  test('is nothing where nobody registered it, and only one that gives something is told', () => {
    expect(believeIssuer(issuer, undefined)).toEqual({ issuer: undefined, differences: ['unregistered'] })
    expect(believeIssuer({ ...issuer, status: 'disabled' }, undefined)).toEqual({
      issuer: undefined,
      differences: [],
    })
  })

  test('stays disabled where a hand enabled it, and that is told first', () => {
    const row = { ...issuer, rules: [{ ...rule, rule: 'evil' }] }
    expect(believed(row, { ...issuer, status: 'disabled' })).toEqual({
      issuer: { ...issuer, status: 'disabled', rules: [] },
      differences: ['status', 'trust_rule evil'],
    })
  })

  test.each<[TrustedIssuer['keys']]>([
    [{ kind: 'jwks', keys: [] }],
    [{ kind: 'jwks', keys: [{ kty: 'RSA', n: 'AQ', e: 'Aw' }] }],
    [
      {
        kind: 'jwks',
        keys: [
          { kty: 'RSA', n: 'AQ', e: 'AQAB' },
          { kty: 'RSA', n: 'Aw', e: 'AQAB' },
        ],
      },
    ],
    [{ kind: 'discovery' }],
    [{ kind: 'jwks_uri', url: 'https://evil.example.com' }],
  ])('is nothing of an issuer with other keys: %j', (keys) => {
    expect(believed({ ...issuer, keys })).toEqual({ issuer: undefined, differences: ['keys'] })
    expect(believed({ ...issuer, keys, rules: [{ ...rule, rule: 'evil' }] }).differences).toEqual([
      'keys',
      'trust_rule evil',
    ])
  })

  // More or less: nothing always says which of two rules admits less.
  test.each<[string, Partial<TrustRule>]>([
    ['another name', { rule: 'other' }],
    ['fewer conditions', { conditions: workloads.conditions.slice(1) }],
    ['another condition', { conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:' }] }],
    ['a client', { clientId: 'billing' }],
    ['more scopes', { access: [{ audience: 'urn:a', scopes: ['read', 'write', 'all'] }] }],
    ['another audience', { access: [{ audience: 'urn:b', scopes: ['read', 'write'] }] }],
    ['all access', { access: undefined }],
    ['the token endpoint', { assertionAudience: 'token_endpoint' }],
    ['older assertions', { assertionMaxAgeSeconds: 7_200 }],
    ['assertions that count again', { assertionUse: 'until_expiry' }],
    ['a longer lifetime', { tokenLifetimeSeconds: 600 }],
    ['the lifetime of the resource', { tokenLifetimeSeconds: undefined }],
    ['the default service account', { allowDefaultServiceAccount: true }],
    ['any subject', { dangerouslyAnySubject: true }],
    ['another certificate', { requiredCertificate: { name: 'tls_client_auth_san_uri', value: 'urn:a' } }],
    [
      'another field of a certificate',
      { requiredCertificate: { name: 'tls_client_auth_san_dns', value: '{sub}' } },
    ],
    ['no certificate', { requiredCertificate: undefined }],
    ['no proof', { requireDpop: undefined }],
    ['another proof', { requireDpop: 'confirmed_key' }],
    ['no demand', { requiredCertificate: undefined, requireDpop: undefined }],
  ])('is nothing of a rule with %s', (_, change) => {
    const row = { ...issuer, rules: [rule, { ...workloads, ...change }] }
    expect(believed(row)).toEqual({
      issuer: { ...issuer, rules: [rule] },
      differences: [`trust_rule ${change.rule ?? 'payments'}`],
    })
  })
})

/** Trust as rows have it: what can be read counts, and a rule of which anything cannot be read admits nobody. */
import { describe, expect, test } from 'vitest'
import {
  conditionWords,
  type IssuerRow,
  isWorkloadId,
  type RuleRow,
  readCondition,
  subjectOfAssertion,
  toIssuer,
  workloadId,
} from '../../src/registry/issuer.ts'

const issuer: IssuerRow = {
  issuer: 'https://idp.example.com',
  status: 'active',
  source: 'discovery',
  url: null,
  jwks: null,
  owner: null,
  rules: null,
}

const rule: RuleRow = {
  rule: 'deploy',
  conditions: [{ claim: 'sub', equals: 'repo:acme/shop' }],
  client_id: 'billing',
  access: null,
  assertion_audience: 'issuer',
  max_age: 3_600,
  use: 'once',
  lifetime: null,
  allow_default: false,
  any_subject: false,
}

const ruleIn = (change: Partial<RuleRow> = {}) =>
  toIssuer({ ...issuer, rules: [{ ...rule, ...change }] }).rules

describe('an issuer', () => {
  test('is read as it was registered', () => {
    expect(toIssuer(issuer)).toEqual({
      issuer: 'https://idp.example.com',
      status: 'active',
      keys: { kind: 'discovery' },
      owner: undefined,
      rules: [],
    })
    expect(toIssuer({ ...issuer, status: 'disabled', owner: 'Platform' })).toMatchObject({
      status: 'disabled',
      owner: 'Platform',
    })
  })

  const key = { kty: 'RSA', n: 'AQ', e: 'AQAB' }
  test.each<[IssuerRow['source'], Partial<IssuerRow>, object]>([
    ['jwks_uri', { url: 'https://a/keys' }, { url: 'https://a/keys' }],
    ['spiffe_bundle', { url: 'https://a/bundle' }, { url: 'https://a/bundle' }],
    ['jwks', { jwks: [key] }, { keys: [key] }],
    ['client_metadata', {}, {}],
    ['discovery', {}, {}],
    // By hand. Nothing answers at no address, and what is no key verifies nothing.
    ['jwks_uri', { url: null }, { url: '' }],
    ['jwks', { jwks: { keys: [key] } }, { keys: [] }],
    ['jwks', { jwks: [null, 'key', [key], key] }, { keys: [key] }],
  ])('has its keys from one place: %s %j', (source, row, expected) => {
    // What belongs to another source counts for nothing.
    const others = { url: 'https://b/other', jwks: [{ kty: 'EC' }] }
    expect(toIssuer({ ...issuer, ...others, source, ...row }).keys).toEqual({ kind: source, ...expected })
  })

  test('has its keys from its own metadata if its row names a source that nobody knows', () => {
    expect(toIssuer({ ...issuer, source: 'other' as 'discovery' }).keys).toEqual({ kind: 'discovery' })
  })
})

describe('a rule', () => {
  test('is read as it was registered', () => {
    expect(ruleIn()).toEqual([
      {
        rule: 'deploy',
        conditions: [{ claim: 'sub', equals: 'repo:acme/shop' }],
        clientId: 'billing',
        access: undefined,
        assertionAudience: 'issuer',
        assertionMaxAgeSeconds: 3_600,
        assertionUse: 'once',
        tokenLifetimeSeconds: undefined,
        allowDefaultServiceAccount: false,
        dangerouslyAnySubject: false,
      },
    ])
    expect(
      ruleIn({
        client_id: null,
        access: [
          { audience: 'urn:a', scopes: ['read', 'write'] },
          { audience: 'urn:b', scopes: [] },
        ],
        assertion_audience: 'token_endpoint',
        use: 'until_expiry',
        lifetime: 60,
        allow_default: true,
        required_certificate: ['tls_client_auth_san_uri', '{sub}'],
        require_dpop: 'confirmed_key',
      }),
    ).toEqual([
      {
        rule: 'deploy',
        conditions: [{ claim: 'sub', equals: 'repo:acme/shop' }],
        clientId: undefined,
        access: [
          { audience: 'urn:a', scopes: ['read', 'write'] },
          { audience: 'urn:b', scopes: [] },
        ],
        assertionAudience: 'token_endpoint',
        assertionMaxAgeSeconds: 3_600,
        assertionUse: 'until_expiry',
        tokenLifetimeSeconds: 60,
        allowDefaultServiceAccount: true,
        dangerouslyAnySubject: false,
        requiredCertificate: { name: 'tls_client_auth_san_uri', value: subjectOfAssertion },
        requireDpop: 'confirmed_key',
      },
    ])
  })

  test.each<[string, Partial<RuleRow>]>([
    ['no conditions, for everybody', { conditions: [], any_subject: true }],
    ['conditions, although it is for everybody', { any_subject: true }],
    ['a client and access', { access: [{ audience: 'urn:a', scopes: [] }] }],
    ['access to nothing', { client_id: null, access: [] }],
    ['no certificate', { required_certificate: [null, null] }],
    ['no proof', { require_dpop: null }],
    ['a proof of any key', { require_dpop: 'any_key' }],
  ])('with %s counts', (_, change) => {
    const [read] = ruleIn(change)
    expect(read?.rule).toBe('deploy')
    expect(read?.requiredCertificate).toBeUndefined()
    expect(read?.requireDpop).toBe(change.require_dpop ?? undefined)
  })

  test.each<[string, Partial<RuleRow>]>([
    ['no conditions', { conditions: [] }],
    ['no list of conditions', { conditions: { claim: 'sub', equals: 'a' } }],
    ['conditions that are missing', { conditions: null, any_subject: true }],
    ['a condition that cannot be read', { conditions: [{ claim: 'sub', equals: 'a' }, { claim: 'ref' }] }],
    ['neither a client nor access', { client_id: null }],
    ['no list of access', { access: { audience: 'urn:a', scopes: [] } }],
    ['access that is nothing', { access: [{ audience: 'urn:a', scopes: [] }, null] }],
    ['access to what is no audience', { access: [{ audience: 1, scopes: [] }] }],
    ['access without scopes', { access: [{ audience: 'urn:a' }] }],
    ['a scope that is no text', { access: [{ audience: 'urn:a', scopes: ['read', 1] }] }],
    ['a certificate that must name nothing', { required_certificate: ['tls_client_auth_san_uri', null] }],
    ['a name in no field of a certificate', { required_certificate: [null, 'urn:a'] }],
    ['a proof that nobody knows', { require_dpop: 'some_key' }],
    ['a proof without a name', { require_dpop: '' }],
  ])('with %s admits nobody, and the others count', (_, change) => {
    expect(toIssuer({ ...issuer, rules: [{ ...rule, ...change }, rule] }).rules).toHaveLength(1)
  })
})

describe('a condition', () => {
  test.each<[object, object]>([
    [
      { claim: 'sub', equals: 'a' },
      { claim: 'sub', equals: 'a' },
    ],
    [
      { claim: 'sub', equals: '' },
      { claim: 'sub', equals: '' },
    ],
    [
      { claim: 'level', equals: Number.MAX_SAFE_INTEGER },
      { claim: 'level', equals: Number.MAX_SAFE_INTEGER },
    ],
    [
      { claim: 'level', equals: -Number.MAX_SAFE_INTEGER },
      { claim: 'level', equals: -Number.MAX_SAFE_INTEGER },
    ],
    [
      { claim: 'protected', equals: false },
      { claim: 'protected', equals: false },
    ],
    [
      { claim: 'ref', one_of: ['a', 1, true] },
      { claim: 'ref', oneOf: ['a', 1, true] },
    ],
    [
      { claim: 'sub', prefix: 'repo:acme/' },
      { claim: 'sub', prefix: 'repo:acme/' },
    ],
    [
      { claim: 'sub', prefix: 'repo:' },
      { claim: 'sub', prefix: 'repo:' },
    ],
    [
      { claim: '/kubernetes.io/namespace', present: true },
      { claim: '/kubernetes.io/namespace', present: true },
    ],
  ])('%j is read, and written as it was', (words, condition) => {
    const read = readCondition(words)
    expect(read).toEqual(condition)
    expect(read && conditionWords(read)).toEqual(words)
  })

  test.each<[unknown]>([
    [undefined],
    [null],
    ['sub'],
    [[{ claim: 'sub', equals: 'a' }]],
    [{}],
    [{ claim: 'sub' }],
    [{ equals: 'a' }],
    [{ claim: '', equals: 'a' }],
    [{ claim: 1, equals: 'a' }],
    // Two of them, or something that a later release knows: it may ask for more.
    [{ claim: 'sub', equals: 'a', present: true }],
    [{ claim: 'sub', one_of: ['a'], prefix: 'a/' }],
    [{ claim: 'sub', equals: 'a', not: 'b' }],
    [{ claim: 'sub', oneOf: ['a'] }],
    [{ claim: 'sub', equals: null }],
    [{ claim: 'sub', equals: ['a'] }],
    // Larger numbers are read as their neighbours.
    [{ claim: 'level', equals: 2 ** 53 }],
    [{ claim: 'level', equals: -(2 ** 53) }],
    [{ claim: 'sub', one_of: [] }],
    [{ claim: 'sub', one_of: 'a' }],
    [{ claim: 'sub', one_of: ['a', null] }],
    // Nothing may stand behind a beginning but what belongs to it.
    [{ claim: 'sub', prefix: 'repo:acme' }],
    [{ claim: 'sub', prefix: '' }],
    [{ claim: 'sub', prefix: ['repo:acme/'] }],
    [{ claim: 'sub', present: false }],
    [{ claim: 'sub', present: 'true' }],
  ])('%j is none', (words) => {
    expect(readCondition(words)).toBeUndefined()
  })
})

describe('the identity of a workload', () => {
  const id = workloadId('https://idp.example.com', 'repo:acme/shop')

  test('is always the same: audit records, blocks and relying services name it', () => {
    expect(id).toBe('workload:sE2ih4UtaKPMcsdmN6HE4CK-UK2kMBDX_us42lS1B58')
    expect([isWorkloadId(id), isWorkloadId('billing'), isWorkloadId('a-workload:')]).toEqual([
      true,
      false,
      false,
    ])
  })

  test('is that of one issuer and one subject', () => {
    const others = [
      workloadId('https://idp.example.com', 'repo:acme/shop2'),
      workloadId('https://idp.example.comr', 'epo:acme/shop'),
      workloadId('https://idp.example.co', 'mrepo:acme/shop'),
    ]
    expect(new Set([id, ...others]).size).toBe(4)
  })
})

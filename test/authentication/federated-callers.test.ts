/** Whom an assertion of another issuer stands for, and what its rules ask for beside it. */
import { describe, expect, test } from 'vitest'
import { callersOf, demanding, demandsOf } from '../../src/authentication/federated-callers.ts'
import { keySourceId } from '../../src/authentication/issuer-keys.ts'
import type { CallerView, Proof } from '../../src/authentication/method.ts'
import type { RegisteredClient } from '../../src/registry/client.ts'
import {
  subjectOfAssertion,
  type TrustedIssuer,
  type TrustRule,
  workloadId,
} from '../../src/registry/issuer.ts'
import { ruleDefaults } from '../support/registered.ts'

const now = 1_800_000_000
const rule: TrustRule = {
  ...ruleDefaults,
  rule: 'deploy',
  conditions: [{ claim: 'sub', equals: 'job' }],
  clientId: 'billing',
  tokenLifetimeSeconds: 60,
}
const issuer: TrustedIssuer = {
  issuer: 'https://ci.example',
  status: 'active',
  keys: { kind: 'discovery' },
  rules: [rule],
}
const client = {
  clientId: 'billing',
  status: 'active',
  dpopBoundTokens: false,
  access: new Map([
    ['urn:a', ['read', 'write']],
    ['urn:b', []],
    ['urn:c', ['read']],
  ]),
} as unknown as RegisteredClient

const cnf = { jkt: 'key', 'x5t#S256': 'certificate' }
const proven = {
  facts: {
    issuer: issuer.issuer,
    subject: 'job',
    claims: { sub: 'job', cnf },
    audience: 'issuer',
    expiresAt: now + 60.5,
    notBefore: undefined,
    issuedAt: now,
  },
  clientId: 'billing',
  namedClientId: undefined,
  keySource: keySourceId(issuer),
} as const

function callers(changes: Partial<TrustRule> = {}, given: object = {}, view: Partial<CallerView> = {}) {
  const trusted = { ...issuer, rules: [{ ...rule, ...changes }] }
  const trust = {
    issuers: new Map([[issuer.issuer, trusted]]),
    blocked: new Set<string>(),
    resources: new Map(),
  }
  const federated = { ...proven, ...given }
  return callersOf({ federated } as unknown as Proof, { client, trust, ...view }, now)
}
const one = (...given: Parameters<typeof callers>) => {
  const found = callers(...given)
  return 'refusal' in found ? undefined : found[0]
}

test('the client of a rule, with what the rule puts beside it', () => {
  expect(callers()).toEqual([
    {
      client,
      rule: { name: 'deploy', tokenLifetimeSeconds: 60, tokensEndBy: now + 60, isSpent: true },
    },
  ])
  expect(one({ assertionUse: 'until_expiry' as TrustRule['assertionUse'] })?.rule?.isSpent).toBe(false)
  expect(one({}, {}, { client: undefined })?.client).toBeUndefined()
  expect(one({ access: [] }, {}, { client: undefined })?.client).toBeUndefined()
})

test('a workload is what its rule says of it', () => {
  const clientId = workloadId(issuer.issuer, 'job')
  const workload = { clientId: undefined, access: [{ audience: 'urn:a', scopes: ['read'] }] }
  expect(one(workload, { clientId })?.client).toEqual({
    clientId,
    status: 'active',
    tokenEndpointAuthMethod: undefined,
    allowedNetworks: [],
    expiresAt: undefined,
    secrets: new Map(),
    keys: [],
    assertionAudience: 'issuer',
    dpopBoundTokens: false,
    access: new Map([['urn:a', ['read']]]),
  })
  expect(one({ clientId: undefined, access: undefined }, { clientId })?.client?.access).toEqual(new Map())
})

describe('nobody is who asks', () => {
  const refusal = (...given: Parameters<typeof callers>) => {
    const found = callers(...given)
    return 'refusal' in found ? found.refusal : undefined
  }
  const trust = (changes: Partial<TrustedIssuer>, blocked: string[] = []) => ({
    trust: {
      issuers: new Map([[issuer.issuer, { ...issuer, ...changes }]]),
      blocked: new Set(blocked),
      resources: new Map(),
    },
  })

  test('where the issuer is not trusted now', () => {
    expect(refusal({}, {}, { trust: undefined })).toBe('assertion_issuer_untrusted')
    expect(refusal({}, {}, trust({ status: 'disabled' }))).toBe('assertion_issuer_untrusted')
    expect(refusal({}, { facts: { ...proven.facts, issuer: 'x' } })).toBe('assertion_issuer_untrusted')
    const nothing: Proof = { credentialId: 'x', checkedHash: undefined, matched: true }
    expect(callersOf(nothing, { client, ...trust({}) }, now)).toEqual({
      refusal: 'assertion_issuer_untrusted',
    })
  })

  test('where its keys or the client of its rules are others now', () => {
    expect(refusal({}, { keySource: 'x' })).toBe('registry_unsettled')
    expect(refusal({ clientId: 'reports' })).toBe('registry_unsettled')
  })

  test('where no rule fits, or it is blocked', () => {
    expect(refusal({ conditions: [{ claim: 'sub', equals: 'x' }] })).toBe('assertion_no_rule_fits')
    expect(refusal({}, {}, trust({}, ['billing']))).toBe('workload_blocked')
    expect(refusal({}, {}, trust({}, ['reports']))).toBeUndefined()
  })
})

test('a client has what it and the rule both have', () => {
  const access = (given: TrustRule['access']) => [...(one({ access: given })?.client?.access ?? [])]
  expect(access(undefined)).toEqual([...client.access])
  expect(access([{ audience: 'urn:a', scopes: ['write', 'delete'] }])).toEqual([['urn:a', ['write']]])
  expect(access([{ audience: 'urn:a', scopes: ['delete'] }])).toEqual([])
  expect(access([{ audience: 'urn:a', scopes: [] }])).toEqual([['urn:a', []]])
  expect(access([{ audience: 'urn:b', scopes: ['read'] }])).toEqual([['urn:b', []]])
  expect(access([{ audience: 'urn:x', scopes: [] }])).toEqual([])
})

describe('a rule that asks for a certificate or a key', () => {
  const requiredCertificate = { name: 'tls_client_auth_san_dns', value: 'a.td' } as const

  test('binds the tokens to it, in addition to what the client asks for', () => {
    const bound = (changes: Partial<TrustRule>, of: Partial<RegisteredClient> = {}) => {
      const found = demanding({ ...client, ...of }, { ...rule, ...changes })
      return [found?.certificateBoundTokens, found?.dpopBoundTokens]
    }
    expect(demanding(client, rule)).toBe(client)
    expect(demanding(undefined, { ...rule, requiredCertificate })).toBeUndefined()
    expect(bound({ requiredCertificate })).toEqual([true, false])
    expect(bound({ requireDpop: 'any_key' })).toEqual([false, true])
    expect(bound({ requireDpop: 'any_key' }, { certificateBoundTokens: true })).toEqual([true, true])
    expect(bound({ requiredCertificate }, { dpopBoundTokens: true })).toEqual([true, true])
  })

  test('tells which, and which the assertion names', () => {
    const demands = (changes: Partial<TrustRule>) => demandsOf({ ...rule, ...changes }, proven.facts)
    expect(demands({})).toEqual({})
    expect(demands({ requireDpop: 'confirmed_key' })).toEqual({ confirmedKey: 'key' })
    expect(demands({ requiredCertificate })).toEqual({
      requiredCertificate,
      confirmedCertificate: 'certificate',
    })
    const ofSubject = { ...requiredCertificate, value: subjectOfAssertion }
    expect(demands({ requiredCertificate: ofSubject })).toMatchObject({
      requiredCertificate: { ...requiredCertificate, value: 'job' },
    })
  })
})

/** What is decided for an assertion of another issuer, for all rules and requests: never more than one rule admits. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JudgedCertificate } from '../../src/authentication/certificate.ts'
import type { ProvenPossession } from '../../src/authentication/dpop.ts'
import { keySourceId } from '../../src/authentication/issuer-keys.ts'
import type { FederatedCredentials, Proof } from '../../src/authentication/method.ts'
import type { CertificateField, RegisteredClient, RegisteredResource } from '../../src/registry/client.ts'
import {
  type RuleAccess,
  subjectOfAssertion,
  type TrustedIssuer,
  type TrustRule,
  workloadId,
} from '../../src/registry/issuer.ts'
import type { View } from '../../src/registry/memory.ts'
import { type Denial, decide, type Grant } from '../../src/token/decide.ts'
import { clientDefaults, ruleDefaults } from '../support/registered.ts'

const now = 1_800_000_000
const [issuerName, subject] = ['https://idp.example.com', 'job:a']
const audiences = ['urn:a', 'urn:b'] as const
const scopes = ['read', 'write'] as const
const lifetimeSeconds = 300

const someScopes = fc.subarray([...scopes])
const access: fc.Arbitrary<readonly RuleAccess[]> = fc
  .record({ 'urn:a': fc.option(someScopes), 'urn:b': fc.option(someScopes) })
  .map((given) =>
    audiences.flatMap((audience) => {
      const found = given[audience]
      return found === null ? [] : [{ audience, scopes: found }]
    }),
  )
const ofWorkload: CertificateField = { name: 'tls_client_auth_san_uri', value: subjectOfAssertion }
/** The certificate of the workload, and its proof of a key. */
const certificate: JudgedCertificate = {
  notBefore: 0,
  notAfter: now + 60,
  thumbprint: 'thumbprint of a certificate',
  names: { subject: '', dns: [], uris: [subject], addresses: [], emails: [] },
  keyThumbprint: undefined,
  fault: undefined,
  paths: [{ notBefore: 0, notAfter: now + 60, revocationKnownUntil: undefined }],
  untrusted: 'certificate_untrusted',
}
const possession: ProvenPossession = {
  thumbprint: 'thumbprint of a key',
  algorithm: 'ES256',
  issuedAt: now,
  notBefore: undefined,
  expiresAt: undefined,
  refusal: undefined,
  nonce: undefined,
  once: { digest: 'digest', expiresAt: now + 60, reason: 'dpop_proof_replayed' },
}
const rules: fc.Arbitrary<readonly TrustRule[]> = fc
  .array(
    fc.record({
      branch: fc.constantFrom('main', 'next'),
      clientId: fc.constantFrom('one', 'one', undefined),
      access: fc.option(access, { nil: undefined }),
      lifetime: fc.constantFrom(undefined, 30, 600),
      use: fc.constantFrom('once' as const, 'until_expiry' as const),
      demand: fc.constantFrom(undefined, undefined, 'dpop' as const, 'certificate' as const),
    }),
    { maxLength: 4 },
  )
  .map((made) =>
    made.map(({ branch, clientId, access: given, lifetime, use, demand }, index) => ({
      ...ruleDefaults,
      rule: `rule-${index}`,
      conditions: [{ claim: 'ref', equals: branch }],
      clientId,
      // A rule without a client has to say what it gives.
      access: clientId === undefined ? (given ?? []) : given,
      assertionUse: use,
      tokenLifetimeSeconds: lifetime,
      ...(demand === 'dpop' ? { requireDpop: 'any_key' as const } : {}),
      ...(demand === 'certificate' ? { requiredCertificate: ofWorkload } : {}),
    })),
  )
const asked = fc.record({
  target: fc.constantFrom(undefined, ...audiences),
  scopes: fc.constantFrom(undefined, ['read'], ['write'], ['read', 'write']),
  named: fc.constantFrom(undefined, undefined, 'one'),
  secondsLeft: fc.constantFrom(20, 1_000),
  clientAccess: access,
  clientStatus: fc.constantFrom('active' as const, 'active' as const, 'disabled' as const),
  brings: fc.subarray(['dpop', 'certificate'] as const),
})

interface Asked {
  readonly target: string | undefined
  readonly scopes: readonly string[] | undefined
  readonly named: string | undefined
  readonly secondsLeft: number
  readonly clientAccess: readonly RuleAccess[]
  readonly clientStatus: 'active' | 'disabled'
  readonly brings: readonly ('dpop' | 'certificate')[]
}

function resourceOf(audience: string): RegisteredResource {
  return {
    audience,
    scopes: new Set(scopes),
    tokenLifetimeSeconds: lifetimeSeconds,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
  }
}

/** What the service decides, for the identity that it admitted. */
function decided(given: readonly TrustRule[], request: Asked, clientId: string): Grant | Denial {
  const issuer: TrustedIssuer = {
    issuer: issuerName,
    status: 'active',
    keys: { kind: 'discovery' },
    rules: given,
  }
  const client: RegisteredClient = {
    ...clientDefaults,
    clientId: 'one',
    status: request.clientStatus,
    tokenEndpointAuthMethod: 'federated_jwt',
    access: new Map(request.clientAccess.map((each) => [each.audience, each.scopes])),
  }
  const facts = {
    issuer: issuerName,
    subject,
    claims: { ref: 'main' },
    audience: 'issuer' as const,
    expiresAt: now + request.secondsLeft,
    issuedAt: now,
    notBefore: undefined,
  }
  const proof: Proof = {
    credentialId: 'key',
    checkedHash: undefined,
    matched: true,
    federated: { facts, clientId, namedClientId: request.named, keySource: keySourceId(issuer) },
    ...(request.brings.includes('dpop') ? { possession } : {}),
  }
  const trust = {
    issuers: new Map([[issuerName, issuer]]),
    blocked: new Set<string>(),
    resources: new Map(audiences.map((audience) => [audience, resourceOf(audience)])),
  }
  const credentials: FederatedCredentials = {
    method: 'federated_jwt',
    clientId: request.named,
    assertion: {} as never,
  }
  const view: View = {
    version: 1,
    client: clientId === 'one' ? client : undefined,
    resource: request.target === undefined ? undefined : resourceOf(request.target),
    trust,
  }
  return decide(
    {
      credentials,
      target: request.target,
      scopes: request.scopes,
      dpopProof: undefined,
      certificate: request.brings.includes('certificate') ? certificate : undefined,
    },
    proof,
    view,
    '127.0.0.1',
    now,
  )
}

const identities = ['one', workloadId(issuerName, subject)]

/** Whether one rule alone gives all of it. Written in another way than what is tested. */
function givesAll(rule: TrustRule, grant: Grant, { clientAccess, secondsLeft, brings }: Asked): boolean {
  // What it asks for was brought, and the token is bound to it.
  const { jkt, 'x5t#S256': thumbprint } = grant.confirmation ?? {}
  if (rule.requireDpop !== undefined && !(brings.includes('dpop') && jkt === possession.thumbprint))
    return false
  const isCertified = brings.includes('certificate') && thumbprint === certificate.thumbprint
  if (rule.requiredCertificate !== undefined && !isCertified) return false
  if (JSON.stringify(rule.conditions) !== JSON.stringify([{ claim: 'ref', equals: 'main' }])) return false
  if ((rule.clientId ?? workloadId(issuerName, subject)) !== grant.clientId) return false
  const holds = (list: readonly RuleAccess[]) =>
    list.some(
      ({ audience, scopes: held }) =>
        audience === grant.audience && grant.scopes.every((scope) => held.includes(scope)),
    )
  const byRule = rule.access === undefined || holds(rule.access)
  const byClient = rule.clientId === undefined || holds(clientAccess)
  const most = Math.min(lifetimeSeconds, rule.tokenLifetimeSeconds ?? lifetimeSeconds, secondsLeft)
  return byRule && byClient && grant.lifetimeSeconds <= most
}

test('whatever is granted, one rule grants all of it, and the token does not outlive the assertion', () => {
  let granted = 0
  fc.assert(
    fc.property(rules, asked, fc.constantFrom(...identities), (given, request, clientId) => {
      const decision = decided(given, request, clientId)
      if (!decision.granted) return
      granted += 1
      expect(decision.clientId).toBe(clientId)
      expect(given.filter((rule) => givesAll(rule, decision, request)).map(({ rule }) => rule)).toContain(
        decision.rule?.name,
      )
      if (clientId === 'one') expect(request.clientStatus).toBe('active')
      if (request.target !== undefined) expect(decision.audience).toBe(request.target)
      for (const scope of request.scopes ?? []) expect(decision.scopes).toContain(scope)
    }),
    { numRuns: 3_000 },
  )
  // So that it says something. Most draws grant nothing.
  expect(granted).toBeGreaterThan(20)
})

test('the order of rules does not matter', () => {
  fc.assert(
    fc.property(rules, asked, fc.constantFrom(...identities), (given, request, clientId) => {
      const decisions = [given, given.toReversed(), [...given.slice(1), ...given.slice(0, 1)]].map((order) =>
        decided(order, request, clientId),
      )
      const [first, ...others] = decisions
      for (const other of others) expect(other).toEqual(first)
    }),
    { numRuns: 2_000 },
  )
})

test('two rules that give different scopes: the caller says which it means; and the least lifetime counts', () => {
  const [workload = ''] = identities.slice(1)
  const rule = (
    name: string,
    held: readonly string[],
    lifetime: number,
    use: TrustRule['assertionUse'],
  ): TrustRule => ({
    ...ruleDefaults,
    rule: name,
    conditions: [{ claim: 'ref', equals: 'main' }],
    clientId: undefined,
    access: [{ audience: 'urn:a', scopes: held }],
    assertionUse: use,
    tokenLifetimeSeconds: lifetime,
  })
  const given = [rule('reads', ['read'], 60, 'until_expiry'), rule('both', ['read', 'write'], 30, 'once')]
  const request: Asked = {
    target: 'urn:a',
    scopes: undefined,
    named: undefined,
    secondsLeft: 1_000,
    clientAccess: [],
    clientStatus: 'active',
    brings: [],
  }
  expect(decided(given, request, workload)).toEqual({ granted: false, reason: 'trust_rules_ambiguous' })
  expect(decided(given, { ...request, scopes: ['write'] }, workload)).toMatchObject({
    scopes: ['write'],
    rule: { name: 'both' },
  })
  // Both give it: for as long as the shorter one says, and once, because one of them says so.
  expect(decided(given, { ...request, scopes: ['read'] }, workload)).toMatchObject({
    scopes: ['read'],
    lifetimeSeconds: 30,
    rule: { name: 'both', isSpent: true },
  })
})

/**
 * Which rules an assertion fits. Pure: platforms as they are, near misses of each, and what holds for all rules
 * whatever. Long because it is a table of them. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readFederatedText } from '../../src/authentication/federated-assertion.ts'
import { factsOf } from '../../src/authentication/federated-jwt.ts'
import {
  type AssertionFacts,
  claimAt,
  confirmationIn,
  judgeAssertion,
  judgeRules,
} from '../../src/authentication/trust-rules.ts'
import { limits } from '../../src/limits.ts'
import {
  type ClaimCondition,
  type TrustedIssuer,
  type TrustRule,
  workloadId,
} from '../../src/registry/issuer.ts'
import {
  github,
  gitlab,
  kubernetes,
  type Platform,
  spire,
  type TokenChanges,
  tokenOf,
} from '../support/platforms.ts'
import { ruleDefaults } from '../support/registered.ts'

const own = 'https://tokens.example.com'
const now = 1_800_000_000

const rule = (conditions: readonly ClaimCondition[], more: Partial<TrustRule> = {}): TrustRule => ({
  ...ruleDefaults,
  rule: 'r',
  conditions,
  clientId: 'billing',
  ...more,
})

const trusted = (issuer: string, rules: readonly TrustRule[]): TrustedIssuer => ({
  issuer,
  status: 'active',
  keys: { kind: 'discovery' },
  rules,
})

function factsOfToken(platform: Platform, changes: TokenChanges = {}, audience = own): AssertionFacts {
  const { assertion, refusal } = readFederatedText(tokenOf(platform, audience, changes, now))
  expect(refusal).toBeUndefined()
  return factsOf(assertion as NonNullable<typeof assertion>, own)
}

const rules: Readonly<Record<string, [Platform, TrustRule]>> = {
  github: [
    github,
    rule([
      { claim: 'repository_id', equals: '74' },
      { claim: 'ref', oneOf: ['refs/heads/main', 'refs/heads/next'] },
      { claim: 'sub', prefix: 'repo:acme/shop:' },
      { claim: 'environment', present: true },
    ]),
  ],
  gitlab: [
    gitlab,
    rule([
      { claim: 'project_id', equals: '20' },
      { claim: 'ref_protected', equals: 'true' },
    ]),
  ],
  kubernetes: [
    kubernetes,
    rule([
      { claim: 'sub', prefix: 'system:serviceaccount:payments:' },
      { claim: '/kubernetes.io/serviceaccount/uid', equals: '0a1b2c3d-0000-4000-8000-000000000002' },
    ]),
  ],
  spire: [spire, rule([{ claim: 'sub', equals: 'spiffe://example.org/ns/payments/sa/api' }])],
}

const judged = (name: string, changes: TokenChanges = {}, audience = own, at = now) => {
  const [platform, fits] = rules[name] as [Platform, TrustRule]
  const verdict = judgeAssertion(
    trusted(platform.issuer, [fits]),
    factsOfToken(platform, changes, audience),
    undefined,
    at,
  )
  return 'refusal' in verdict ? verdict.refusal : verdict.clientId
}

describe.each(Object.keys(rules))('%s', (name) => {
  test('its token as it is fits', () => expect(judged(name)).toBe('billing'))

  test.each<[string, TokenChanges['claims'], string]>([
    ['for the token endpoint', { aud: `${own}/token` }, 'assertion_audience_wrong'],
    ['for us and for somebody else', { aud: [own, 'https://other.example.com'] }, 'assertion_audience_wrong'],
    ['for nobody', { aud: [] }, 'assertion_audience_wrong'],
    ['for us with a slash', { aud: `${own}/` }, 'assertion_audience_wrong'],
    ['over', { exp: now, iat: now - 60, nbf: now - 60 }, 'assertion_expired'],
    ['over in less than a second', { exp: now + 0.9, iat: now - 60, nbf: now - 60 }, 'assertion_expired'],
    ['from tomorrow', { iat: now + 86_400, exp: now + 90_000, nbf: undefined }, 'assertion_not_yet_valid'],
    ['old', { iat: now - 3_601, nbf: now - 3_601, exp: now + 60 }, 'assertion_too_old'],
    ['without iat and for long', { iat: undefined, exp: now + 3_601 }, 'assertion_too_old'],
  ])('%s: it does not', (_title, claims, refusal) => {
    expect(judged(name, { claims: claims ?? {} })).toBe(refusal)
  })

  test('a list with one audience is as good as a text, and a rule may accept the token endpoint', () => {
    expect([judged(name, { claims: { aud: own } }), judged(name, { claims: { aud: [own] } })]).toEqual([
      'billing',
      'billing',
    ])
    const [platform, fits] = rules[name] as [Platform, TrustRule]
    const wide = trusted(platform.issuer, [{ ...fits, assertionAudience: 'token_endpoint' }])
    const facts = factsOfToken(platform, {}, `${own}/token`)
    expect(judgeAssertion(wide, facts, undefined, now)).toMatchObject({ clientId: 'billing' })
  })
})

describe('near misses', () => {
  test.each<[string, string, Readonly<Record<string, unknown>>]>([
    ['another repository of the same name', 'github', { repository_id: '75' }],
    ['the id as a number', 'github', { repository_id: 74 }],
    ['the id in a list', 'github', { repository_id: ['74'] }],
    ['another branch', 'github', { ref: 'refs/heads/main2' }],
    ['another case', 'github', { ref: 'refs/heads/Main' }],
    ['a pull request', 'github', { ref: 'refs/pull/7/merge', sub: 'repo:acme/shop:pull_request' }],
    ['a repository whose name goes on', 'github', { sub: 'repo:acme/shop-evil:environment:prod' }],
    ['only the prefix', 'github', { sub: 'repo:acme/shop:' }],
    ['no environment', 'github', { environment: '' }],
    ['an environment that is null', 'github', { environment: null }],
    ['another project', 'gitlab', { project_id: '21' }],
    ['a truth value for a text', 'gitlab', { ref_protected: true }],
    ['a branch that is not protected', 'gitlab', { ref_protected: 'false' }],
    ['another namespace', 'kubernetes', { sub: 'system:serviceaccount:payments-dev:api' }],
    ['an account that was made anew', 'kubernetes', { 'kubernetes.io': { serviceaccount: { uid: 'new' } } }],
    ['no claims of the platform', 'kubernetes', { 'kubernetes.io': undefined }],
    ['another account', 'spire', { sub: 'spiffe://example.org/ns/payments/sa/api2' }],
  ])('%s', (_title, name, claims) => expect(judged(name, { claims })).toBe('assertion_no_rule_fits'))

  test('the default account of a namespace, unless the rule says so', () => {
    const claims = { sub: 'system:serviceaccount:payments:default' }
    const [platform] = rules['kubernetes'] as [Platform, TrustRule]
    const open = rule([{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }])
    const verdict = (fits: TrustRule) =>
      judgeAssertion(trusted(platform.issuer, [fits]), factsOfToken(platform, { claims }), undefined, now)
    expect(verdict(open)).toMatchObject({ refusal: 'default_service_account' })
    expect(verdict({ ...open, allowDefaultServiceAccount: true })).toMatchObject({ clientId: 'billing' })
  })

  test('no claim of a prototype is one of the assertion', () => {
    expect(claimAt({ a: { 'x/y': 1, '~': 2 } }, '/a/x~1y')).toBe(1)
    expect(claimAt({ a: { 'x/y': 1, '~': 2 } }, '/a/~0')).toBe(2)
    for (const name of ['constructor', '__proto__', 'toString', '/constructor/name', '/a/length', '/a/0']) {
      expect(claimAt({ a: ['b'] }, name), name).toBeUndefined()
    }
    const any = rule([{ claim: 'constructor', present: true }])
    expect(judgeRules([any], factsOfToken(github), now)[0]?.misfits).toHaveLength(1)
  })
})

describe('what a misfit tells', () => {
  const facts: AssertionFacts = {
    issuer: 'https://idp.example.com',
    subject: 'a',
    claims: { sub: 'a' },
    audience: 'issuer',
    issuedAt: now,
    notBefore: undefined,
    expiresAt: now + 60,
  }
  const any = rule([], { dangerouslyAnySubject: true })
  const misfits = (more: Partial<TrustRule>, changes: Partial<AssertionFacts> = {}) =>
    judgeRules([{ ...any, ...more }], { ...facts, ...changes }, now)[0]?.misfits
  const refusal = (more: Partial<TrustRule>, changes: Partial<AssertionFacts> = {}) => {
    const verdict = judgeAssertion(
      trusted(facts.issuer, [{ ...any, ...more }]),
      { ...facts, ...changes },
      undefined,
      now,
    )
    return 'refusal' in verdict ? verdict.refusal : undefined
  }

  test('a rule without a condition that nobody meant', () => {
    expect(misfits({ dangerouslyAnySubject: false })).toEqual([
      { kind: 'claim', condition: { claim: 'sub', present: true }, found: undefined },
    ])
  })

  test.each([
    ['payments:default', true],
    ['payments:default2', false],
    ['payments:api:default', false],
  ])('the service account %s is that of a namespace: %s', (name, isDefault) => {
    const subject = `system:serviceaccount:${name}`
    expect(misfits({}, { subject })).toEqual(isDefault ? [{ kind: 'default_service_account' }] : [])
    expect(misfits({}, { subject: `x:${subject}` })).toEqual([])
  })

  test('a moment may be ahead by the leeway and by no second more', () => {
    const { assertionLeewaySeconds: leeway } = limits
    for (const moment of ['notBefore', 'issuedAt'] as const) {
      expect(refusal({}, { [moment]: now + leeway })).toBeUndefined()
      expect(refusal({}, { [moment]: now + leeway + 1 })).toBe('assertion_not_yet_valid')
    }
  })

  test('an age is right up to the oldest, and without iat so is what is left to live', () => {
    const maxAge = { assertionMaxAgeSeconds: 60 }
    expect(misfits(maxAge, { issuedAt: now - 60 })).toEqual([])
    expect(misfits(maxAge, { issuedAt: now - 61 })).toEqual([{ kind: 'too_old', maxAgeSeconds: 60 }])
    expect(misfits(maxAge, { issuedAt: undefined, expiresAt: now + 60 })).toEqual([])
    expect(misfits(maxAge, { issuedAt: undefined, expiresAt: now + 61 })).toHaveLength(1)
  })

  test('a rule that asks for the confirmed key: the assertion names one, as a text', () => {
    const asking = { requireDpop: 'confirmed_key' } as const
    expect(misfits(asking, { claims: { cnf: { jkt: 'thumbprint' } } })).toEqual([])
    for (const cnf of [undefined, null, 'jkt', ['jkt'], {}, { jkt: 7 }, { 'x5t#S256': 'thumbprint' }]) {
      expect(misfits(asking, { claims: { cnf } })).toEqual([{ kind: 'no_confirmation' }])
      expect(refusal(asking, { claims: { cnf } })).toBe('assertion_confirmation_missing')
    }
    expect(misfits({ requireDpop: 'any_key' })).toEqual([])
    expect(confirmationIn({ cnf: { jkt: 'a', 'x5t#S256': 'b' } })).toEqual({
      jkt: 'a',
      certificateThumbprint: 'b',
    })
  })
})

describe('several rules', () => {
  const [platform, fits] = rules['github'] as [Platform, TrustRule]
  const facts = factsOfToken(platform)
  const judge = (given: readonly TrustRule[], clientId?: string) =>
    judgeAssertion(trusted(platform.issuer, given), facts, clientId, now)
  const other = { ...fits, rule: 'other', clientId: 'reports' }

  test('for two clients are no choice for us; the caller names one', () => {
    expect(judge([fits, other])).toMatchObject({ refusal: 'trust_rules_ambiguous' })
    expect(judge([fits, other], 'reports')).toMatchObject({ clientId: 'reports', rules: [{ rule: 'other' }] })
    expect(judge([fits, other], 'payroll')).toMatchObject({ refusal: 'client_id_mismatch' })
  })

  test('for the same client all count', () => {
    expect(judge([fits, { ...other, clientId: 'billing' }])).toMatchObject({
      clientId: 'billing',
      rules: [{}, {}],
    })
  })

  test('the one that came closest is told', () => {
    const far = rule(
      [
        { claim: 'ref', equals: 'x' },
        { claim: 'sub', equals: 'x' },
      ],
      { rule: 'a' },
    )
    const near = rule(
      [
        { claim: 'repository_id', equals: '74' },
        { claim: 'sub', equals: 'x' },
      ],
      { rule: 'b' },
    )
    expect(judge([far, near])).toMatchObject({
      refusal: 'assertion_no_rule_fits',
      closest: { rule: { rule: 'b' }, misfits: [{ kind: 'claim', condition: { claim: 'sub' } }] },
    })
    expect(judge([])).toEqual({ refusal: 'assertion_no_rule_fits', closest: undefined })
  })

  test('among equals one whose conditions hold comes first, and then the name decides', () => {
    const misses = (name: string) => rule([{ claim: 'sub', equals: 'x' }], { rule: name })
    const old = { ...fits, rule: 'old', assertionMaxAgeSeconds: -1 }
    const order = (given: readonly TrustRule[]) =>
      judgeRules(given, facts, now).map(({ rule: { rule: name } }) => name)
    expect(order([misses('b'), old, misses('a')])).toEqual(['old', 'a', 'b'])
    expect(order([misses('a'), misses('b'), old])).toEqual(['old', 'a', 'b'])
  })

  test('without a client a workload stands for itself: issuer and subject together', () => {
    const workload = { ...fits, clientId: undefined, access: [] }
    const id = workloadId(platform.issuer, facts.subject)
    expect(judge([workload])).toMatchObject({ clientId: id })
    expect(id).toMatch(/^workload:[\w-]{43}$/)
    // No two pairs run together.
    expect(new Set([workloadId('ab', 'c'), workloadId('a', 'bc'), workloadId('abc', '')]).size).toBe(3)
  })
})

describe('for all rules and all claims', () => {
  const names = ['sub', 'repo', 'ref'] as const
  const value = fc.constantFrom<string | number | boolean>(
    'a',
    'a/',
    'a/b',
    'a/bc',
    'b',
    '74',
    74,
    true,
    'true',
    '',
  )
  const condition: fc.Arbitrary<ClaimCondition> = fc.oneof(
    fc.record({ claim: fc.constantFrom(...names), equals: value }),
    fc.record({ claim: fc.constantFrom(...names), oneOf: fc.array(value, { minLength: 1, maxLength: 3 }) }),
    fc.record({ claim: fc.constantFrom(...names), prefix: fc.constantFrom('a/', 'b/') }),
    fc.record({ claim: fc.constantFrom(...names), present: fc.constant(true as const) }),
  )
  const anyRule = fc
    .record({
      conditions: fc.array(condition, { maxLength: 3 }),
      clientId: fc.constantFrom('one', 'two', undefined),
      access: fc.constant([]),
      assertionAudience: fc.constantFrom('issuer' as const, 'token_endpoint' as const),
      assertionMaxAgeSeconds: fc.constantFrom(10, 3_600),
      dangerouslyAnySubject: fc.boolean(),
    })
    .map(({ conditions, ...more }) => rule(conditions, more))
  const manyRules = fc
    .array(anyRule, { maxLength: 6 })
    .map((made) => made.map((each, index) => ({ ...each, rule: `rule-${index}` })))
  const claims = fc.record(
    { sub: fc.constantFrom('a/b', 'b', 'a'), repo: value, ref: value },
    { requiredKeys: ['sub'] },
  )
  const facts = fc
    .record({
      claims,
      audience: fc.constantFrom('issuer' as const, 'token_endpoint' as const, 'other' as const),
      age: fc.constantFrom(0, 11, 3_601),
    })
    .map(
      ({ claims: said, audience, age }): AssertionFacts => ({
        issuer: 'https://idp.example.com',
        subject: said.sub,
        claims: said,
        audience,
        issuedAt: now - age,
        notBefore: undefined,
        expiresAt: now + 60,
      }),
    )

  /** Written in another way than what it judges. */
  function admits(each: TrustRule, { claims: said, audience, issuedAt = 0 }: AssertionFacts): boolean {
    const everyHolds = each.conditions.every((is) => {
      const found = Object.entries(said).find(([name]) => name === is.claim)?.[1]
      if ('equals' in is) return JSON.stringify(found) === JSON.stringify(is.equals)
      if ('oneOf' in is) return is.oneOf.map((one) => JSON.stringify(one)).includes(JSON.stringify(found))
      if ('prefix' in is) return typeof found === 'string' && new RegExp(`^${is.prefix}.`).test(found)
      return found !== undefined && found !== ''
    })
    const isMeant = each.conditions.length > 0 || each.dangerouslyAnySubject
    const audiences = each.assertionAudience === 'issuer' ? ['issuer'] : ['issuer', 'token_endpoint']
    return (
      everyHolds && isMeant && audiences.includes(audience) && now - issuedAt <= each.assertionMaxAgeSeconds
    )
  }

  test('nobody gets in whom no rule admits, and whoever gets in is whom a rule names', () => {
    fc.assert(
      fc.property(manyRules, facts, fc.constantFrom('one', 'two', undefined), (given, said, clientId) => {
        const verdict = judgeAssertion(trusted(said.issuer, given), said, clientId, now)
        const admitting = given.filter((each) => admits(each, said))
        if ('refusal' in verdict) {
          const identities = new Set(
            admitting.map((each) => each.clientId ?? workloadId(said.issuer, said.subject)),
          )
          const isOne = identities.size === 1 && (clientId === undefined || identities.has(clientId))
          expect(isOne, verdict.refusal).toBe(false)
        } else {
          expect(verdict.rules.length).toBeGreaterThan(0)
          for (const each of verdict.rules) {
            expect(admitting).toContain(each)
            expect(each.clientId ?? workloadId(said.issuer, said.subject)).toBe(verdict.clientId)
          }
          if (clientId !== undefined) expect(verdict.clientId).toBe(clientId)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('their order does not matter', () => {
    fc.assert(
      fc.property(manyRules, facts, fc.infiniteStream(fc.nat()), (given, said, numbers) => {
        const shuffled = given
          .map((each) => [numbers.next().value ?? 0, each] as const)
          .sort(([one], [other]) => one - other)
          .map(([, each]) => each)
        const verdict = (those: readonly TrustRule[]) => {
          const found = judgeAssertion(trusted(said.issuer, those), said, undefined, now)
          return 'refusal' in found
            ? [found.refusal, found.closest?.rule.rule]
            : [found.clientId, ...found.rules.map((each) => each.rule).sort()]
        }
        expect(verdict(shuffled)).toEqual(verdict(given))
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('what is no assertion of a workload', () => {
  const read = (changes: TokenChanges, platform = github) =>
    readFederatedText(tokenOf(platform, own, changes, now)).refusal

  test.each<[string, TokenChanges, string]>([
    ['an assertion about a user', { header: { typ: 'oauth-id-jag+jwt' } }, 'assertion_about_user'],
    ['the same in capitals', { header: { typ: 'application/OAuth-ID-JAG+JWT' } }, 'assertion_about_user'],
    ['an access token', { header: { typ: 'at+jwt' } }, 'assertion_type_wrong'],
    ['a proof of possession', { header: { typ: 'dpop+jwt' } }, 'assertion_type_wrong'],
    ['a typ that is no text', { header: { typ: 7 } }, 'assertion_type_wrong'],
    ['a header that must be understood', { header: { crit: ['x'] } }, 'assertion_header_unsupported'],
    ['no algorithm', { header: { alg: 'none' } }, 'assertion_algorithm_unsupported'],
    ['a secret as key', { header: { alg: 'HS256' } }, 'assertion_algorithm_unsupported'],
    ['no subject', { claims: { sub: undefined } }, 'assertion_claims_malformed'],
    ['an issuer that is a list', { claims: { iss: ['https://gitlab.com'] } }, 'assertion_claims_malformed'],
    ['no audience', { claims: { aud: undefined } }, 'assertion_claims_malformed'],
    ['no end', { claims: { exp: undefined } }, 'assertion_claims_malformed'],
    ['an end that never comes', { claims: { exp: 1e308 } }, 'assertion_claims_malformed'],
    ['a jti that is a number', { claims: { jti: 7 } }, 'assertion_claims_malformed'],
    ['a subject of 2,000 characters', { claims: { sub: 's'.repeat(2_000) } }, 'assertion_claims_malformed'],
  ])('%s', (_title, changes, refusal) => expect(read(changes)).toBe(refusal))

  test.each([
    'spiffe://example.org',
    'spiffe://example.org/',
    'spiffe://Example.org/a',
    'spiffe://example.org:8443/a',
    'spiffe://example.org/a/../b',
    'spiffe://example.org/a//b',
    'spiffe://example.org/a?b',
    'spiffe://example.org/%61',
    'spiffe://evil.example.com@example.org/a',
  ])('%s is no workload of a trust domain', (sub) => {
    expect(read({ claims: { sub } }, spire)).toBe('assertion_claims_malformed')
  })

  test('a JWT-SVID is of its trust domain', () => {
    expect(readFederatedText(tokenOf(spire, own, {}, now)).assertion).toMatchObject({
      issuer: 'spiffe://example.org',
      subject: 'spiffe://example.org/ns/payments/sa/api',
      jti: undefined,
    })
  })
})

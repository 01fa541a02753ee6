/**
 * An assertion of another issuer from the request to the judgement: what is looked up, and what counts as a failure.
 *
 * Long because it follows an assertion from the request to the judgement, with every way to refuse it.
 */
import { describe, expect, test, vi } from 'vitest'
import type { ClientKey } from '../../src/authentication/client-key.ts'
import { readFederatedText } from '../../src/authentication/federated-assertion.ts'
import { federatedJwt, parseAssertionGrant, tryAssertion } from '../../src/authentication/federated-jwt.ts'
import { readIssuerKey } from '../../src/authentication/issuer-key.ts'
import { keySourceId } from '../../src/authentication/issuer-keys.ts'
import type {
  AdmittedFederated,
  AuthenticationEdges,
  FederatedCredentials,
  PresentedCredentials,
  Proof,
  UseEdges,
} from '../../src/authentication/method.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import type { RegisteredClient } from '../../src/registry/client.ts'
import { type TrustedIssuer, type TrustTable, workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { github, publishedKeys, type TokenChanges, tokenOf } from '../support/platforms.ts'
import { ruleDefaults } from '../support/registered.ts'

const own = 'https://tokens.example.com'
const now = 1_800_000_000
const subject = 'repo:acme/shop:environment:prod'
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const jwtSpiffe = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'

const trusted = (changes: Partial<TrustedIssuer> = {}): TrustedIssuer => ({
  issuer: github.issuer,
  status: 'active',
  keys: { kind: 'jwks', keys: publishedKeys(github).keys },
  rules: [
    {
      ...ruleDefaults,
      rule: 'deploy',
      conditions: [{ claim: 'repository_id', equals: '74' }],
      clientId: 'billing',
    },
  ],
  ...changes,
})
const fetched = trusted({ keys: { kind: 'discovery' } })
const publishedKey = readIssuerKey(publishedKeys(github).keys[0], 'sig') as ClientKey

const table = (issuer: TrustedIssuer): TrustTable => ({
  issuers: new Map([[issuer.issuer, issuer]]),
  blocked: new Set(),
  resources: new Map(),
})

function assertionOf(changes: TokenChanges = {}) {
  const read = readFederatedText(tokenOf(github, own, changes, now))
  return { read, assertion: read.assertion as NonNullable<typeof read.assertion> }
}

const credentials = (changes: TokenChanges = {}, clientId?: string): FederatedCredentials => ({
  method: 'federated_jwt',
  clientId,
  assertion: assertionOf(changes).assertion,
})

interface Known {
  /** In memory. */
  readonly trust?: TrustedIssuer
  readonly keys?: readonly ClientKey[]
  /** After a look at the database, and at what the issuer publishes. */
  readonly found?: TrustedIssuer
  readonly renewed?: readonly ClientKey[]
}

function edgesOf(known: Known) {
  const asked = {
    lookUpTrust: vi.fn(async () => (known.found === undefined ? undefined : table(known.found))),
    renewed: vi.fn(async () => known.renewed),
    fail: vi.fn(),
  }
  const edges = {
    issuer: own,
    registry: {
      trustNow: () => (known.trust === undefined ? undefined : table(known.trust)),
      lookUpTrust: asked.lookUpTrust,
    },
    remoteKeys: { now: () => known.keys, renewed: asked.renewed },
    failureLimit: { fail: asked.fail },
    claimedText: { keep: (text: string) => text },
    clock: { nowSeconds: () => now },
  } as unknown as AuthenticationEdges
  return { edges, asked }
}

/** How it ends, and what was asked on the way. */
async function admit(given: FederatedCredentials, known: Known) {
  const { edges, asked } = edgesOf(known)
  const counts = () => ({
    lookUps: asked.lookUpTrust.mock.calls.length,
    fetches: asked.renewed.mock.calls.length,
    failures: asked.fail.mock.calls,
  })
  try {
    const admitting = federatedJwt.admit(edges, given, '10.0.0.1')
    const waits = admitting instanceof Promise
    return { admitted: (await admitting) as AdmittedFederated, waits, ...counts() }
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    return { reason: error.reason, detail: error.detail, ...counts() }
  }
}

const failures = [[`${github.issuer} ${subject}`, '10.0.0.1']]

describe('a request', () => {
  const { read, assertion } = assertionOf()
  const clientAssertion = { clientId: undefined, refusal: undefined, parsed: undefined, federated: read }
  const complete = { clientAssertion, clientAssertionType: jwtBearer }
  const outcome = (parse: () => unknown): unknown => {
    try {
      return parse()
    } catch (error) {
      return (error as OAuthError).reason
    }
  }
  const parse = (presented: Partial<PresentedCredentials>) =>
    outcome(() => federatedJwt.parse(presented as PresentedCredentials))
  const refused = { ...read, assertion: undefined }

  test('is of this method when another issuer signed its assertion, or its type says so', () => {
    const isPresented = (presented: Partial<PresentedCredentials>) =>
      federatedJwt.isPresented(presented as PresentedCredentials)
    expect(isPresented(complete)).toBe(true)
    expect(isPresented({ clientAssertionType: jwtSpiffe })).toBe(true)
    const { federated: _, ...ownAssertion } = clientAssertion
    expect(isPresented({ ...complete, clientAssertion: ownAssertion })).toBe(false)
    expect(isPresented({ clientAssertionType: jwtBearer })).toBe(false)
  })

  test.each<[outcome: string, presented: Partial<PresentedCredentials>]>([
    ['authentication_method_unsupported', { ...complete, clientAssertionType: 'saml2-bearer' }],
    ['assertion_incomplete', { clientAssertion }],
    ['assertion_incomplete', { clientAssertionType: jwtSpiffe }],
    ['assertion_malformed', { ...complete, clientAssertion: { ...clientAssertion, federated: refused } }],
    [
      'assertion_type_wrong',
      {
        ...complete,
        clientAssertion: { ...clientAssertion, federated: { ...refused, refusal: 'assertion_type_wrong' } },
      },
    ],
  ])('%s', (reason, presented) => {
    expect(parse(presented)).toBe(reason)
  })

  test('whose JWT-SVID could not be read says why', () => {
    const unread = { clientId: undefined, refusal: undefined, parsed: undefined }
    const spiffe = { clientAssertionType: jwtSpiffe }
    expect(parse({ ...spiffe, clientAssertion: unread })).toBe('assertion_malformed')
    const refusal = 'assertion_header_unsupported'
    expect(parse({ ...spiffe, clientAssertion: { ...unread, refusal } })).toBe(refusal)
  })

  test('that is complete, with or without a client', () => {
    for (const clientAssertionType of [jwtBearer, jwtSpiffe]) {
      for (const clientId of [undefined, 'billing']) {
        const expected = { method: 'federated_jwt', clientId, assertion }
        expect(parse({ clientAssertion, clientAssertionType, clientId })).toEqual(expected)
        expect(parseAssertionGrant(read, { clientId } as PresentedCredentials)).toEqual(expected)
      }
    }
  })

  test('whose grant is the assertion authenticates in no other way', () => {
    const grant = (presented: object, given: typeof read | undefined = read) =>
      outcome(() => parseAssertionGrant(given, presented as PresentedCredentials))
    for (const other of ['authorization', 'clientSecret', 'clientAssertion', 'clientAssertionType']) {
      expect(grant({ [other]: 'x' })).toBe('authentication_methods_multiple')
    }
    expect(outcome(() => parseAssertionGrant(undefined, {} as PresentedCredentials))).toBe(
      'assertion_missing',
    )
    expect(grant({}, refused)).toBe('assertion_malformed')
    expect(grant({}, { ...refused, refusal: 'assertion_about_user' })).toBe('assertion_about_user')
  })
})

describe('a right signature', () => {
  test('under a key and by a rule in memory waits for nothing', async () => {
    const given = credentials({}, 'billing')
    expect(await admit(given, { trust: trusted() })).toEqual({
      admitted: {
        method: 'federated_jwt',
        clientId: 'billing',
        namedClientId: 'billing',
        assertion: given.assertion,
        keyId: github.key.thumbprint,
        keySource: keySourceId(trusted()),
      },
      waits: false,
      lookUps: 0,
      fetches: 0,
      failures: [],
    })
    const atOnce = { waits: false, lookUps: 0, fetches: 0 }
    expect(await admit(given, { trust: fetched, keys: [publishedKey] })).toMatchObject(atOnce)
  })

  test('of an issuer or by a rule that is new is found in the database', async () => {
    const later = { admitted: { clientId: 'billing' }, waits: true, lookUps: 1, failures: [] }
    expect(await admit(credentials(), { found: trusted() })).toMatchObject(later)
    expect(await admit(credentials(), { trust: trusted({ rules: [] }), found: trusted() })).toMatchObject(
      later,
    )
  })

  test('under a key that is new is fetched, and one in memory is not', async () => {
    const [known, renewed] = [[publishedKey], [publishedKey]]
    expect(await admit(credentials(), { trust: fetched, found: fetched, renewed })).toMatchObject({
      admitted: { keyId: github.key.thumbprint },
      fetches: 1,
    })
    expect(await admit(credentials(), { found: fetched, keys: known })).toMatchObject({
      admitted: { keyId: github.key.thumbprint },
      fetches: 0,
    })
  })
})

describe('what is refused', () => {
  test('an issuer that nobody trusts, which counts', async () => {
    const refusal = { reason: 'assertion_issuer_untrusted', detail: undefined, failures, lookUps: 1 }
    expect(await admit(credentials(), {})).toMatchObject(refusal)
    expect(await admit(credentials(), { found: trusted({ status: 'disabled' }) })).toMatchObject(refusal)
    const ofClients = trusted({ keys: { kind: 'client_metadata' } })
    expect(await admit(credentials(), { trust: ofClients, found: ofClients })).toMatchObject(refusal)
  })

  test('keys that cannot be had, which is nobody’s failure', async () => {
    expect(await admit(credentials(), { found: fetched })).toEqual({
      reason: 'issuer_keys_unavailable',
      detail: { issuer: github.issuer },
      lookUps: 1,
      fetches: 1,
      failures: [],
    })
  })

  test('another signature, which counts', async () => {
    const stranger = makeKey('RS256', github.key.kid)
    expect(await admit(credentials({ key: stranger }), { found: trusted() })).toMatchObject({
      reason: 'assertion_signature_wrong',
      detail: undefined,
      failures,
    })
    const unknown = credentials({ key: makeKey('RS256', 'unknown') })
    expect(
      await admit(unknown, { found: fetched, keys: [publishedKey], renewed: [publishedKey] }),
    ).toMatchObject({ reason: 'assertion_key_unknown', fetches: 1, failures })
  })

  test('what fits no rule, which counts, with the rule that came closest', async () => {
    const given = credentials({ claims: { repository_id: '75' } })
    expect(await admit(given, { trust: trusted(), found: trusted() })).toMatchObject({
      reason: 'assertion_no_rule_fits',
      detail: { closest_rule: 'deploy', differs: 'repository_id', found: '75' },
      failures,
    })
    const elsewhere = credentials({ claims: { aud: 'https://other.example.com' } })
    expect(await admit(elsewhere, { found: trusted() })).toMatchObject({ reason: 'assertion_audience_wrong' })
  })

  test('of several keys of one name no more than three are tried', async () => {
    const { kid } = github.key
    const wrong = {
      ...publishedKey,
      ...readIssuerKey(publishedKeys(github, [makeKey('RS256', kid)]).keys[0], 'sig'),
    }
    const behind = (count: number) => [...Array.from({ length: count }, () => wrong), publishedKey]
    expect(await admit(credentials(), { trust: fetched, keys: behind(2) })).toMatchObject({ waits: false })
    const four = behind(3)
    expect(await admit(credentials(), { found: fetched, keys: four, renewed: four })).toMatchObject({
      reason: 'assertion_signature_wrong',
    })
  })
})

describe('the proof', () => {
  const prove = async (changes: TokenChanges = {}, earlier?: Proof): Promise<Proof> => {
    const { edges } = edgesOf({ trust: trusted() })
    const admitted = await federatedJwt.admit(edges, credentials(changes, 'billing'), '10.0.0.1')
    return federatedJwt.prove(edges, admitted, undefined, '10.0.0.1', earlier)
  }
  const digest = async (claims: TokenChanges['claims']) =>
    (await prove({ claims: claims ?? {} })).once?.digest

  test('says whom the assertion is about, and counts once until it is over', async () => {
    const { assertion } = assertionOf()
    expect(await prove()).toEqual({
      credentialId: github.key.thumbprint,
      checkedHash: undefined,
      matched: true,
      federated: {
        facts: {
          issuer: github.issuer,
          subject,
          claims: { ...assertion.claims, jti: expect.any(String) },
          audience: 'issuer',
          expiresAt: now + 300,
          notBefore: now - 300,
          issuedAt: now,
        },
        clientId: 'billing',
        namedClientId: 'billing',
        keySource: keySourceId(trusted()),
      },
      once: {
        digest: expect.stringMatching(/^[0-9a-f]{64}$/),
        expiresAt: now + 300 + limits.assertionLeewaySeconds,
        reason: 'assertion_replayed',
      },
    })
  })

  test('is remembered for no longer than an assertion can be used', async () => {
    const until = async (claims: object) =>
      ((await prove({ claims: { nbf: undefined, ...claims } })).once?.expiresAt ?? 0) -
      now -
      limits.assertionLeewaySeconds
    expect(await until({ exp: now + 10.5 })).toBe(11)
    expect(await until({ exp: now + 1e6, iat: now - 10 })).toBe(limits.assertionAgeSecondsMax - 10)
    expect(await until({ exp: now + 3_600, iat: undefined })).toBe(3_600)
  })

  test('is the earlier one, where there is one', async () => {
    const earlier: Proof = { credentialId: 'x', checkedHash: undefined, matched: true }
    expect(await prove({}, earlier)).toBe(earlier)
  })

  test('names the assertion by its jti at its issuer, or by what was signed', async () => {
    expect(await digest({ jti: 'a' })).toBe(await digest({ jti: 'a', run_id: '2' }))
    expect(await digest({ jti: 'a' })).not.toBe(await digest({ jti: 'b' }))
    expect(await digest({ jti: undefined })).toMatch(/^[0-9a-f]{64}$/)
    expect(await digest({ jti: undefined })).toBe(await digest({ jti: undefined }))
    expect(await digest({ jti: undefined })).not.toBe(await digest({ jti: undefined, run_id: '2' }))
  })

  test('is enough for the client that it is about, and noted for a workload', async () => {
    const proof = await prove()
    const judge = (clientId: string, of = proof) =>
      federatedJwt.judge(of, { clientId } as RegisteredClient, now)
    expect([judge('billing'), judge('reports')]).toEqual([undefined, 'client_id_mismatch'])
    const { federated: _, ...without } = proof
    expect(judge('billing', without)).toBe('client_id_mismatch')
    const note = vi.fn()
    const edges = { workloadUses: { note } } as unknown as UseEdges
    federatedJwt.noteUse(edges, workloadId(github.issuer, subject), without, { time: 1 } as never)
    expect(note).not.toHaveBeenCalled()
  })
})

describe('a trial', () => {
  const attempt = (trust: TrustedIssuer, changes: TokenChanges = {}, clientId?: string) =>
    tryAssertion(
      table(trust),
      edgesOf({}).edges.remoteKeys,
      assertionOf(changes).assertion,
      clientId,
      own,
      now,
    )

  test('comes to the same, and counts nothing', async () => {
    const found = await attempt(trusted(), {}, 'billing')
    expect(found).toMatchObject({
      clientId: 'billing',
      proof: {
        credentialId: github.key.thumbprint,
        matched: true,
        federated: {
          facts: { subject, audience: 'issuer' },
          clientId: 'billing',
          namedClientId: 'billing',
          keySource: keySourceId(trusted()),
        },
      },
    })
    expect(found.proof?.once).toBeUndefined()
    expect(await attempt(fetched)).toEqual({ refusal: 'issuer_keys_unavailable' })
    expect(await attempt(trusted(), {}, 'reports')).toEqual({ refusal: 'client_id_mismatch' })
    expect(await attempt(trusted({ rules: [] }))).toEqual({ refusal: 'assertion_no_rule_fits' })
  })
})

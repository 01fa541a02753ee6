/**
 * An assertion of a client that nobody registered, from the request to the judgement: what is looked up and fetched, and what
 * counts as a failure. What its document may say: client-metadata.test.ts.
 *
 * Long because it follows an assertion from the request to the judgement, with every way to refuse it.
 */
import { describe, expect, test, vi } from 'vitest'
import { readAssertion } from '../../src/authentication/client-assertion.ts'
import type { ClientMetadata } from '../../src/authentication/client-metadata.ts'
import {
  admitByMetadata,
  admitByMetadataNow,
  factsAbout,
  metadataClient,
} from '../../src/authentication/metadata-client.ts'
import type {
  AdmittedMetadataClient,
  AssertionCredentials,
  AuthenticationEdges,
  PresentedCredentials,
  Proof,
  UseEdges,
} from '../../src/authentication/method.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import type { RegisteredClient, RegisteredKey } from '../../src/registry/client.ts'
import { metadataWorkloadId } from '../../src/registry/client-metadata-prefix.ts'
import type { TrustedIssuer, TrustRule, TrustTable } from '../../src/registry/issuer.ts'
import { type AssertionChanges, assertionOf, makeKey, type TestKey } from '../support/assertion.ts'
import { ruleDefaults } from '../support/registered.ts'

const own = 'https://tokens.example'
const now = 1_800_000_000
const prefix = 'https://agents.example/'
const url = `${prefix}one.json`
const orders = 'https://orders.example'
const [key, other] = [makeKey('ES256', 'one'), makeKey('EdDSA', 'two')]
/** Another key of the same name. */
const stranger = makeKey('ES256', 'one')

const documentOf = (...keys: readonly TestKey[]): ClientMetadata => ({
  keys: keys.map(({ thumbprint, kid, algorithm, publicJwk }) => ({ thumbprint, kid, algorithm, publicJwk })),
  documentHash: 'hash of the document',
})

const rule = (changes: Partial<TrustRule> = {}): TrustRule => ({
  ...ruleDefaults,
  rule: 'agents',
  conditions: [{ claim: 'sub', prefix }],
  clientId: undefined,
  access: [{ audience: orders, scopes: ['read'] }],
  assertionMaxAgeSeconds: 300,
  ...changes,
})
const trustIn = (changes: Partial<TrustedIssuer> = {}, blocked: readonly string[] = []): TrustTable => {
  const keys = { kind: 'client_metadata' } as const
  const issuer: TrustedIssuer = { issuer: prefix, status: 'active', keys, rules: [rule()], ...changes }
  return { issuers: new Map([[prefix, issuer]]), blocked: new Set(blocked), resources: new Map() }
}
const disabled = trustIn({ status: 'disabled' })
/** It fits nobody here: it asks for the id of another client, or it stands for a registered one. */
const misfits = [
  rule({ conditions: [{ claim: 'sub', equals: `${prefix}two.json` }] }),
  rule({ clientId: 'billing' }),
]

function credentials(changes: AssertionChanges = {}, id = url, by = key): AssertionCredentials {
  const claims = { iat: now, exp: now + 60, ...changes.claims }
  const { parsed } = readAssertion(assertionOf(by, id, own, { ...changes, claims }))
  if (parsed === undefined) throw new Error('no assertion')
  return { method: 'private_key_jwt', clientId: id, assertion: parsed }
}
const expired = { claims: { iat: now - 60, exp: now } }

const admittedBy = ({ assertion }: AssertionCredentials): AdmittedMetadataClient => ({
  method: 'client_metadata',
  clientId: url,
  workloadId: metadataWorkloadId(url),
  assertion,
  keyId: key.thumbprint,
  documentHash: 'hash of the document',
})

interface Known {
  readonly trust?: TrustTable | undefined
  readonly registered?: boolean
  /** The document that is in memory, and the one that is fetched. */
  readonly document?: ClientMetadata | undefined
  readonly fetched?: ClientMetadata | undefined
  readonly problem?: string
  /** The address of the caller has failed too often. */
  readonly isSpent?: boolean
}

function edgesOf(known: Known) {
  const forgive = vi.fn()
  const asked = {
    trustNow: vi.fn(() => known.trust),
    lookUpTrust: vi.fn(async () => known.trust),
    remembered: vi.fn(() => known.document),
    renewed: vi.fn(async () => known.fetched),
    attemptFrom: vi.fn(() => {
      if (known.isSpent === true) throw new OAuthError('failures_of_address')
      return { forgive }
    }),
    fail: vi.fn(),
  }
  const edges = {
    issuer: own,
    registry: {
      clientNow: (id: string) => (known.registered === true && id === url ? {} : undefined),
      trustNow: asked.trustNow,
      lookUpTrust: asked.lookUpTrust,
    },
    clientMetadata: {
      remembered: asked.remembered,
      renewed: asked.renewed,
      problemOf: () => known.problem,
    },
    failureLimit: { attemptFrom: asked.attemptFrom, fail: asked.fail },
    claimedText: { keep: (text: string) => text },
    clock: { nowSeconds: () => now },
  } as unknown as AuthenticationEdges
  return { edges, asked, forgive }
}

const good: Known = { trust: trustIn(), document: documentOf(other, key) }

describe('at once, with what is in memory', () => {
  function admit(given: AssertionCredentials, known: Known) {
    const { edges, asked } = edgesOf(known)
    const admitted = admitByMetadataNow(edges, given)
    for (const never of [asked.renewed, asked.lookUpTrust, asked.attemptFrom, asked.fail]) {
      expect(never).not.toHaveBeenCalled()
    }
    return { admitted, asked }
  }

  test('a right signature is admitted, under the identity that follows from the address', () => {
    const given = credentials()
    const { admitted, asked } = admit(given, good)
    expect(admitted).toEqual(admittedBy(given))
    expect(asked.remembered).toHaveBeenCalledExactlyOnceWith({ url, prefix })
  })

  test('for another id no trust is looked at', () => {
    const { admitted, asked } = admit(credentials({}, 'billing'), good)
    expect(admitted).toBeUndefined()
    expect(asked.trustNow).not.toHaveBeenCalled()
  })

  test.for<[what: string, known: Known, given?: AssertionCredentials]>([
    ['a registered client', { ...good, registered: true }],
    ['no trust', { ...good, trust: undefined }],
    ['a prefix that is disabled', { ...good, trust: disabled }],
    ['an address outside of every prefix', good, credentials({}, 'https://agents.example.evil/one.json')],
    ['an address that is malformed', good, credentials({}, `${url}?a`)],
    ['the prefix itself', good, credentials({}, prefix)],
    ['no document', { ...good, document: undefined }],
    ['a document with another key of that name', { ...good, document: documentOf(stranger) }],
    ['a document without the key', { ...good, document: documentOf(other) }],
    ['a rule for another address', { ...good, trust: trustIn({ rules: misfits.slice(0, 1) }) }],
    ['a rule for a registered client', { ...good, trust: trustIn({ rules: misfits.slice(1) }) }],
    ['an assertion that has expired', good, credentials(expired)],
    ['an assertion for somebody else', good, credentials({ claims: { aud: 'https://other.example' } })],
  ])('nobody is: %s', ([, known, given = credentials()]) => {
    expect(admit(given, known).admitted).toBeUndefined()
  })
})

/** How it ends, and what was asked on the way. */
async function admit(given: AssertionCredentials, known: Known, isRegistered = false) {
  const { edges, asked, forgive } = edgesOf(known)
  const calls = () => ({
    trustLookUps: asked.lookUpTrust.mock.calls.length,
    fetches: asked.renewed.mock.calls.length,
    taken: asked.attemptFrom.mock.calls,
    forgiven: forgive.mock.calls.length,
    failures: asked.fail.mock.calls,
  })
  try {
    return { admitted: await admitByMetadata(edges, given, '10.0.0.1', isRegistered), ...calls() }
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    return { reason: error.reason, detail: error.detail, ...calls() }
  }
}

const failures = [[url, '10.0.0.1']]
const asked = { trustLookUps: 1, fetches: 0, taken: [], forgiven: 0, failures: [] }
/** A new address costs a point of the caller's address until the fetch is over. */
const newAddress = { ...asked, fetches: 1, taken: [['10.0.0.1']], forgiven: 1 }

describe('after a look at the database', () => {
  test('a right signature is admitted by the document in memory, and nothing is fetched', async () => {
    const given = credentials()
    expect(await admit(given, good)).toEqual({ ...asked, admitted: admittedBy(given) })
  })

  test('a document that is not in memory, or does not have the key, is fetched', async () => {
    const given = credentials()
    const fetched = documentOf(key)
    expect(await admit(given, { ...good, document: undefined, fetched })).toEqual({
      ...newAddress,
      admitted: admittedBy(given),
    })
    for (const document of [documentOf(other), documentOf(stranger)]) {
      const outcome = await admit(given, { ...good, document, fetched })
      expect(outcome).toEqual({ ...asked, fetches: 1, admitted: admittedBy(given) })
    }
  })

  test('the document is asked for by its address, and by the prefix that is trusted', async () => {
    const { edges, asked } = edgesOf({ ...good, document: undefined, fetched: documentOf(key) })
    await admitByMetadata(edges, credentials(), '10.0.0.1', false)
    expect(asked.remembered).toHaveBeenCalledExactlyOnceWith({ url, prefix })
    expect(asked.renewed).toHaveBeenCalledExactlyOnceWith({ url, prefix })
  })

  test.for<[what: string, expected: object, known: Known, id?: string, isRegistered?: boolean]>([
    ['an id that is no address: no trust is looked at', { ...asked, trustLookUps: 0 }, good, 'billing'],
    ['a registered client: as much is looked at', asked, good, url, true],
    ['an address outside of every prefix', asked, good, 'https://agents.example.evil/one.json'],
    ['no trust', asked, { ...good, trust: undefined }],
    ['a prefix that is disabled', asked, { ...good, trust: disabled }],
  ])(
    'nobody has that name, and nothing is fetched or counted: %s',
    async ([, expected, known, id, isRegistered]) => {
      expect(await admit(credentials({}, id), known, isRegistered)).toEqual({
        ...expected,
        admitted: undefined,
      })
    },
  )

  test('an address that is malformed is fetched from nowhere', async () => {
    for (const id of [`${url}?a`, `${url}/../two.json`, prefix]) {
      expect(await admit(credentials({}, id), good)).toEqual({
        ...asked,
        reason: 'client_metadata_url_malformed',
        detail: undefined,
        failures: [[id, '10.0.0.1']],
      })
    }
  })

  test('an address of a caller that failed too often gets no fetch of a new document', async () => {
    const given = credentials()
    expect(
      await admit(given, { ...good, document: undefined, fetched: documentOf(key), isSpent: true }),
    ).toMatchObject({
      reason: 'failures_of_address',
      fetches: 0,
      failures: [],
    })
    // It costs nothing where the document is known.
    expect(await admit(given, { ...good, isSpent: true })).toEqual({ ...asked, admitted: admittedBy(given) })
  })

  test('a document that cannot be had: the record says why', async () => {
    const reason = 'client_metadata_unavailable'
    const problem = 'its document is no JSON'
    expect(await admit(credentials(), { ...good, document: undefined, problem })).toEqual({
      ...newAddress,
      reason,
      detail: { problem },
      failures,
    })
    expect(await admit(credentials(), { ...good, document: documentOf(other) })).toEqual({
      ...asked,
      fetches: 1,
      reason,
      detail: { problem: 'it was asked for too often, or does not answer in time' },
      failures,
    })
  })

  test.for<[reason: string, what: string, fetched: ClientMetadata]>([
    ['assertion_signature_wrong', 'another key of that name', documentOf(stranger)],
    ['assertion_key_unknown', 'no key of that name', documentOf(other)],
    ['assertion_key_unknown', 'no key', documentOf()],
  ])('%s: its document has %s', async ([reason, , fetched]) => {
    const outcome = await admit(credentials(), { ...good, document: documentOf(other), fetched })
    expect(outcome).toEqual({ ...asked, fetches: 1, reason, detail: undefined, failures })
  })

  test.for<
    [reason: string, detail: object | undefined, rules: readonly TrustRule[], changes?: AssertionChanges]
  >([
    ['assertion_no_rule_fits', { closest_rule: 'agents', differs: 'sub', found: url }, misfits],
    ['assertion_no_rule_fits', undefined, misfits.slice(1)],
    ['assertion_expired', undefined, [rule()], expired],
    [
      'assertion_audience_wrong',
      { closest_rule: 'agents', differs: 'audience' },
      [rule()],
      { claims: { aud: 'https://other.example' } },
    ],
  ])('%s, with the rule that came closest: %j', async ([reason, detail, rules, changes]) => {
    const outcome = await admit(credentials(changes), { ...good, trust: trustIn({ rules }) })
    expect(outcome).toEqual({ ...asked, reason, detail, failures })
  })
})

describe('the method', () => {
  test('is never asked for by a request, and what was admitted stays so', () => {
    expect(metadataClient.isPresented({} as PresentedCredentials)).toBe(false)
    expect(() => metadataClient.parse({} as PresentedCredentials)).toThrow(OAuthError)
    expect(() => metadataClient.parse({} as PresentedCredentials)).toThrow(
      expect.objectContaining({ reason: 'authentication_missing' }),
    )
    const admitted = admittedBy(credentials())
    expect(metadataClient.admit({} as AuthenticationEdges, admitted, '10.0.0.1')).toBe(admitted)
  })

  const prove = (changes?: AssertionChanges, earlier?: Proof) => {
    const edges = { issuer: own } as AuthenticationEdges
    return metadataClient.prove(
      edges,
      admittedBy(credentials(changes)),
      undefined,
      '10.0.0.1',
      earlier,
    ) as Proof
  }

  test('proves the key and the document, and counts once', () => {
    expect(prove()).toEqual({
      credentialId: key.thumbprint,
      checkedHash: undefined,
      matched: true,
      assertion: { expiresAt: now + 60, notBefore: undefined, issuedAt: now, audience: 'issuer' },
      once: { digest: expect.any(String), expiresAt: now + 60, reason: 'assertion_replayed' },
      metadata: { url, documentHash: 'hash of the document' },
    })
    const earlier = prove()
    expect(prove({}, earlier)).toBe(earlier)
  })

  test('is judged by the moments of the assertion', () => {
    const judge = (proof: Proof) => metadataClient.judge(proof, {} as RegisteredClient, now)
    expect(judge(prove())).toBeUndefined()
    expect(judge(prove(expired))).toBe('assertion_expired')
    const long = { claims: { exp: now + limits.assertionLifetimeSecondsMax + 1 } }
    expect(judge(prove(long))).toBe('assertion_lifetime_too_long')
    expect(judge({ credentialId: 'x', checkedHash: undefined, matched: true })).toBe('assertion_key_unknown')
  })

  test('notes its use for the workload, with the address of the document', () => {
    const note = vi.fn()
    const use = (proof: Proof) =>
      metadataClient.noteUse({ workloadUses: { note } } as unknown as UseEdges, 'workload:x', proof, {
        time: 7,
      })
    use({ ...prove(), credentialId: 'agents' })
    const { metadata: _, ...without } = prove()
    use(without)
    expect(note.mock.calls).toEqual([
      [{ workloadId: 'workload:x', issuer: 'client_metadata', subject: url, rule: 'agents', time: 7 }],
    ])
  })

  describe('finds who asks', () => {
    const callersOf = (proof: Proof, trust: TrustTable | undefined, client?: RegisteredClient) =>
      metadataClient.callersOf?.(proof, { client, trust }, now)
    const workloadId = metadataWorkloadId(url)

    test('a caller for each rule that fits, whose tokens do not end with the assertion', () => {
      const rules = [
        rule(),
        rule({ rule: 'shorter', tokenLifetimeSeconds: 60, requireDpop: 'any_key', access: [] }),
        ...misfits,
      ]
      const callers = callersOf(prove(), trustIn({ rules }))
      const limited = { tokensEndBy: Number.POSITIVE_INFINITY, isSpent: true }
      expect(callers).toMatchObject([
        {
          client: { clientId: workloadId, access: new Map([[orders, ['read']]]), dpopBoundTokens: false },
          publicClientId: url,
          rule: { name: 'agents', tokenLifetimeSeconds: undefined, ...limited },
        },
        {
          client: { clientId: workloadId, access: new Map(), dpopBoundTokens: true },
          publicClientId: url,
          rule: { name: 'shorter', tokenLifetimeSeconds: 60, ...limited },
        },
      ])
    })

    test('the subject of its certificate is its address, which is all that its claims prove', () => {
      const requiredCertificate = { name: 'tls_client_auth_san_uri', value: '{sub}' } as const
      const [caller] = callersOf(prove(), trustIn({ rules: [rule({ requiredCertificate })] })) as never[]
      expect(caller).toMatchObject({ rule: { requiredCertificate: { ...requiredCertificate, value: url } } })
      const { assertion } = prove({ claims: { email: 'a@b', exp: now + 9, nbf: now - 9, iat: now - 8 } })
      expect(factsAbout(url, assertion as NonNullable<typeof assertion>)).toEqual({
        issuer: 'client_metadata',
        subject: url,
        claims: { iss: url, sub: url },
        audience: 'issuer',
        expiresAt: now + 9,
        notBefore: now - 9,
        issuedAt: now - 8,
      })
    })

    const { metadata: _, ...withoutMetadata } = prove()
    const { assertion: __, ...withoutAssertion } = prove()
    const registered = {
      status: 'active',
      expiresAt: undefined,
      keys: [],
      jwksUri: undefined,
    } as unknown as RegisteredClient
    const withKeys = { ...registered, keys: [{} as RegisteredKey] }
    const jwksUri = 'https://agents.example/keys'
    test.for<[refusal: string, what: string, proof: Proof, trust: TrustTable | undefined, RegisteredClient?]>(
      [
        ['client_unknown', 'no document', withoutMetadata, trustIn()],
        ['client_unknown', 'no assertion', withoutAssertion, trustIn()],
        ['client_unknown', 'no trust', prove(), undefined],
        ['client_unknown', 'a prefix that is disabled', prove(), disabled],
        ['client_has_no_key', 'a registered client without keys', prove(), trustIn(), registered],
        ['assertion_key_unknown', 'a registered client with keys', prove(), trustIn(), withKeys],
        ['assertion_key_unknown', 'one that publishes keys', prove(), trustIn(), { ...registered, jwksUri }],
        ['client_disabled', 'a disabled client', prove(), trustIn(), { ...registered, status: 'disabled' }],
        ['client_expired', 'an expired client', prove(), trustIn(), { ...registered, expiresAt: now }],
        ['assertion_no_rule_fits', 'rules for others', prove(), trustIn({ rules: misfits })],
        ['assertion_expired', 'an assertion that has expired since', prove(expired), trustIn()],
        ['workload_blocked', 'a workload that is blocked', prove(), trustIn({}, [workloadId])],
      ],
    )('%s: %s', ([refusal, , proof, trust, client]) => {
      expect(callersOf(proof, trust, client)).toEqual({ refusal })
    })
  })
})

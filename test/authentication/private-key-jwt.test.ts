/**
 * A client's own assertion from the request to the judgement: which key it is verified with, what is looked up, and what
 * counts as a failure.
 *
 * Long because it follows an assertion from the request to the judgement, with every way to refuse it.
 */
import { describe, expect, test, vi } from 'vitest'
import { readAssertion } from '../../src/authentication/client-assertion.ts'
import type {
  AdmittedAssertion,
  AssertionCredentials,
  AuthenticationEdges,
  PresentedCredentials,
  Proof,
  UseEdges,
} from '../../src/authentication/method.ts'
import { jwtBearer, privateKeyJwt } from '../../src/authentication/private-key-jwt.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import type { RegisteredClient, RegisteredKey } from '../../src/registry/client.ts'
import { type AssertionChanges, assertionOf, makeKey, type TestKey } from '../support/assertion.ts'

const now = 1_800_000_000
const issuer = 'https://tokens.example'
const jwksUri = 'https://billing.example/jwks'
const [first, second] = [makeKey('ES256', 'one'), makeKey('ES256', 'two')]
const other = makeKey('EdDSA', 'one')

const registered = (key: TestKey, changes: Partial<RegisteredKey> = {}): RegisteredKey => ({
  thumbprint: key.thumbprint,
  kid: key.kid,
  algorithm: key.algorithm,
  publicJwk: key.publicJwk,
  expiresAt: undefined,
  revokedAt: undefined,
  ...changes,
})
const expired = { expiresAt: now }
const revoked = { revokedAt: now - 1 }

/** What the client sends. A kid of undefined is left out. */
function credentials(key: TestKey, changes: AssertionChanges = {}): AssertionCredentials {
  const { parsed } = readAssertion(assertionOf(key, 'billing', issuer, changes))
  if (parsed === undefined) throw new Error('no assertion')
  return { method: 'private_key_jwt', clientId: 'billing', assertion: parsed }
}
const unnamed = { header: { kid: undefined } }

interface Known {
  /** In memory. */
  readonly keys?: readonly RegisteredKey[]
  readonly uri?: string
  readonly published?: readonly RegisteredKey[]
  /** In the database. */
  readonly found?: readonly RegisteredKey[]
  readonly foundUri?: string
  readonly renewed?: readonly RegisteredKey[]
  readonly hasKeys?: boolean
  readonly status?: RegisteredClient['status'] | 'unknown'
}

/** How it ends: the key and where it was found, or the reason; and what was asked on the way. */
async function admit(given: AssertionCredentials, known: Known = {}) {
  const client = { status: known.status ?? 'active', expiresAt: undefined, hasKeys: known.hasKeys ?? false }
  const found = known.status === 'unknown' ? undefined : { ...client, jwksUri: known.foundUri }
  const lookUpKeys = vi.fn(async () => ({ client: found, keys: known.found ?? [] }))
  const fail = vi.fn()
  const fetched = { now: vi.fn(() => known.published), renewed: vi.fn(async () => known.renewed) }
  const edges = {
    registry: {
      keysNow: () => known.keys,
      clientNow: () => (known.uri === undefined ? undefined : { jwksUri: known.uri }),
      lookUpKeys,
    },
    remoteKeys: fetched,
    failureLimit: { fail },
    clock: { nowSeconds: () => now },
  } as unknown as AuthenticationEdges
  const asked = () => ({ lookUps: lookUpKeys.mock.calls.length, failures: fail.mock.calls })
  try {
    const admitting = privateKeyJwt.admit(edges, given, '10.0.0.1')
    const waits = admitting instanceof Promise
    const { method, keyId, jwksUri: where } = (await admitting) as AdmittedAssertion
    return { method, keyId, where, waits, ...asked(), fetched }
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    return { reason: error.reason, credentialId: error.credentialId, ...asked(), fetched }
  }
}

const atOnce = (key: TestKey) => ({ keyId: key.thumbprint, waits: false, lookUps: 0, failures: [] })
const later = (key: TestKey) => ({ keyId: key.thumbprint, waits: true, lookUps: 1, failures: [] })
const failed = (reason: string, key?: TestKey) => ({
  reason,
  credentialId: key?.thumbprint,
  failures: [['billing', '10.0.0.1']],
})

describe('a request', () => {
  const read = { clientId: 'billing', refusal: undefined, parsed: credentials(first).assertion }
  const complete = { clientAssertion: read, clientAssertionType: jwtBearer }
  const parse = (presented: Partial<PresentedCredentials>): unknown => {
    try {
      return privateKeyJwt.parse(presented as PresentedCredentials)
    } catch (error) {
      return (error as OAuthError).reason
    }
  }

  test.each<[outcome: string, presented: Partial<PresentedCredentials>]>([
    ['authentication_method_unsupported', { ...complete, clientAssertionType: 'saml2-bearer' }],
    ['assertion_incomplete', { clientAssertion: read }],
    ['assertion_incomplete', { clientAssertionType: jwtBearer }],
    ['client_id_mismatch', { ...complete, clientId: 'shop' }],
    [
      'assertion_type_wrong',
      { ...complete, clientAssertion: { ...read, parsed: undefined, refusal: 'assertion_type_wrong' } },
    ],
    ['assertion_malformed', { ...complete, clientAssertion: { ...read, parsed: undefined } }],
    [
      'assertion_malformed',
      { ...complete, clientId: 'shop', clientAssertion: { ...read, clientId: undefined, parsed: undefined } },
    ],
  ])('%s', (reason, presented) => {
    expect(parse(presented)).toBe(reason)
  })

  test('that is complete, with or without the identifier', () => {
    const expected = { method: 'private_key_jwt', clientId: 'billing', assertion: read.parsed }
    expect(parse(complete)).toEqual(expected)
    expect(parse({ ...complete, clientId: 'billing' })).toEqual(expected)
  })
})

describe('a key in memory', () => {
  test('is found by its kid, by its thumbprint, and by the algorithm where it is the only one', async () => {
    const keys = [registered(first), registered(second), registered(other)]
    expect(await admit(credentials(first), { keys })).toMatchObject({
      method: 'private_key_jwt',
      where: undefined,
      ...atOnce(first),
    })
    const byThumbprint = credentials(second, { header: { kid: second.thumbprint } })
    expect(await admit(byThumbprint, { keys })).toMatchObject(atOnce(second))
    expect(await admit(credentials(other, unnamed), { keys })).toMatchObject(atOnce(other))
    expect(await admit(credentials(first, unnamed), { keys }), 'two fit').toMatchObject(
      failed('client_has_no_key'),
    )
  })

  test('that did not make the signature lets nobody in, and nothing is fetched', async () => {
    const forged = registered({ ...second, kid: 'one' })
    const outcome = await admit(credentials(first), { keys: [forged], found: [forged], hasKeys: true })
    expect(outcome).toMatchObject({ ...failed('assertion_signature_wrong', second), lookUps: 1 })
    expect(outcome.fetched.now).not.toHaveBeenCalled()
    expect(outcome.fetched.renewed).not.toHaveBeenCalled()
  })

  test('whose kid another one has as well is the first of them', async () => {
    const alike = registered({ ...second, kid: 'one' })
    expect(await admit(credentials(first), { keys: [registered(first), alike] })).toMatchObject(atOnce(first))
    expect(await admit(credentials(first), { keys: [alike, registered(first)] })).toMatchObject(
      failed('client_has_no_key'),
    )
  })

  test('that is over is chosen where no valid one is, so that the record says so', async () => {
    for (const over of [expired, revoked]) {
      const keys = [registered(first, over), registered(second)]
      expect(await admit(credentials(first), { keys })).toMatchObject(atOnce(first))
      expect(await admit(credentials(second, unnamed), { keys })).toMatchObject(atOnce(second))
      expect(await admit(credentials(first, unnamed), { keys: keys.slice(0, 1) })).toMatchObject(
        atOnce(first),
      )
      const renewed = [registered(first, over), registered({ ...second, kid: 'one' })]
      expect(await admit(credentials({ ...second, kid: 'one' }), { keys: renewed })).toMatchObject(
        atOnce(second),
      )
    }
  })
})

describe('a key that the client publishes', () => {
  test('is found at once if it was fetched', async () => {
    const known = { uri: jwksUri, published: [registered(second), registered(first)] }
    const outcome = await admit(credentials(first), known)
    expect(outcome).toMatchObject({ ...atOnce(first), where: jwksUri })
    expect(outcome.fetched.now).toHaveBeenCalledExactlyOnceWith({ kind: 'client_jwks_uri', url: jwksUri })
    expect(await admit(credentials(first), { published: known.published }), 'no address').toMatchObject(
      failed('client_has_no_key'),
    )
  })

  test('is fetched if it was not, after the look-up', async () => {
    const outcome = await admit(credentials(first), { foundUri: jwksUri, renewed: [registered(first)] })
    expect(outcome).toMatchObject({ ...later(first), where: jwksUri })
    expect(outcome.fetched.renewed).toHaveBeenCalledExactlyOnceWith({ kind: 'client_jwks_uri', url: jwksUri })
  })

  test('is another one, or cannot be fetched: that is said, and counted', async () => {
    const known = { uri: jwksUri, published: [registered(second)], foundUri: jwksUri }
    expect(await admit(credentials(first), { ...known, renewed: [registered(second)] })).toMatchObject(
      failed('assertion_key_unknown'),
    )
    const forged = registered({ ...second, kid: 'one' })
    expect(await admit(credentials(first), { ...known, renewed: [forged] })).toMatchObject(
      failed('assertion_key_unknown'),
    )
    expect(await admit(credentials(first), known)).toMatchObject(failed('client_keys_unavailable'))
  })
})

describe('what memory cannot verify', () => {
  test('is looked up, and a new key is good', async () => {
    const outcome = await admit(credentials(first), {
      keys: [registered(second)],
      found: [registered(first)],
    })
    expect(outcome).toMatchObject({ ...later(first), where: undefined })
    expect(outcome.fetched.renewed).not.toHaveBeenCalled()
  })

  test.each<[reason: string, known: Known, key?: TestKey]>([
    ['client_unknown', { status: 'unknown' }],
    ['client_disabled', { status: 'disabled', hasKeys: true }],
    ['client_has_no_key', {}],
    ['assertion_key_unknown', { hasKeys: true }],
    ['assertion_signature_wrong', { hasKeys: true, found: [registered({ ...second, kid: 'one' })] }, second],
    [
      'client_key_unusable',
      { hasKeys: true, found: [registered(first, { publicJwk: { kty: 'EC' } })] },
      first,
    ],
  ])('%s', async (reason, known, key) => {
    expect(await admit(credentials(first), known)).toMatchObject({ ...failed(reason, key), lookUps: 1 })
  })
})

describe('the proof', () => {
  const prove = (audience: unknown, clientId = 'billing', jti = 'a', more: object = {}) => {
    const { assertion } = credentials(first, {
      claims: { aud: audience, jti, exp: now + 9.5, nbf: now - 5, iat: now - 4 },
    })
    const admitted = { ...credentials(first), clientId, assertion, keyId: 'thumbprint', ...more }
    const edges = { issuer } as AuthenticationEdges
    return privateKeyJwt.prove(edges, admitted as AdmittedAssertion, undefined, '10.0.0.1') as Proof
  }

  test('names the key and what the assertion says, and can be used once', () => {
    expect(prove(issuer)).toStrictEqual({
      credentialId: 'thumbprint',
      checkedHash: undefined,
      matched: true,
      assertion: { expiresAt: now + 9.5, notBefore: now - 5, issuedAt: now - 4, audience: 'issuer' },
      once: {
        digest: expect.stringMatching(/^[0-9a-f]{64}$/),
        expiresAt: now + 10,
        reason: 'assertion_replayed',
      },
    })
    expect(prove(issuer, 'billing', 'a', { jwksUri })).toMatchObject({ jwksUri })
    const digests = [prove(issuer), prove(issuer, 'billin', 'ga'), prove(issuer, 'billing', 'b')]
    expect(new Set(digests.map(({ once }) => once?.digest)).size).toBe(3)
    expect(prove(issuer).once?.digest).toBe(digests[0]?.once?.digest)
  })

  test.each<[means: string, audience: unknown]>([
    ['issuer', issuer],
    ['token_endpoint', [issuer]],
    ['token_endpoint', `${issuer}/token`],
    ['token_endpoint', [`${issuer}/token`, issuer]],
    ['token_endpoint', [issuer, issuer]],
    ['other', []],
    ['other', `${issuer}/`],
    ['other', 'https://other.example'],
    ['other', [issuer, 'https://other.example']],
  ])('%s is who is meant by %j', (means, audience) => {
    expect(prove(audience).assertion?.audience).toBe(means)
  })

  test('from before the registry changed is kept', () => {
    const earlier = { credentialId: 'earlier' } as Proof
    const admitted = { ...credentials(first), keyId: 'x' } as AdmittedAssertion
    expect(
      privateKeyJwt.prove({ issuer } as AuthenticationEdges, admitted, undefined, '10.0.0.1', earlier),
    ).toBe(earlier)
  })

  test('its use is noted with its key and audience', () => {
    const note = vi.fn()
    const noteUse = (proof: Partial<Proof>) =>
      privateKeyJwt.noteUse({ keyUses: { note } } as unknown as UseEdges, 'billing', proof as Proof, {
        time: 7,
      })
    noteUse({ credentialId: 'k', assertion: { ...judged(), audience: 'token_endpoint' } })
    noteUse({ credentialId: 'k' })
    const use = { clientId: 'billing', thumbprint: 'k', time: 7 }
    expect(note.mock.calls).toEqual([
      [{ ...use, audience: 'token_endpoint' }],
      [{ ...use, audience: 'issuer' }],
    ])
  })
})

function judged() {
  return { expiresAt: now + 60, notBefore: undefined, issuedAt: undefined, audience: 'issuer' as const }
}

describe('the judgement', () => {
  const client = (changes: Partial<RegisteredClient> = {}) =>
    ({ keys: [registered(first)], assertionAudience: 'issuer', ...changes }) as RegisteredClient
  const judge = (said: object = {}, changes: Partial<RegisteredClient> = {}, proof: Partial<Proof> = {}) =>
    privateKeyJwt.judge(
      {
        credentialId: first.thumbprint,
        checkedHash: undefined,
        matched: true,
        assertion: { ...judged(), ...said },
        ...proof,
      },
      client(changes),
      now,
    )
  const { assertionLeewaySeconds: leeway, assertionLifetimeSecondsMax: most } = limits

  test.each<[reason: string | undefined, said: object]>([
    [undefined, {}],
    ['assertion_audience_wrong', { audience: 'other' }],
    ['assertion_audience_token_endpoint', { audience: 'token_endpoint' }],
    ['assertion_expired', { expiresAt: now }],
    [undefined, { expiresAt: now + 0.5 }],
    [undefined, { notBefore: now + leeway, issuedAt: now + leeway }],
    ['assertion_not_yet_valid', { notBefore: now + leeway + 1 }],
    ['assertion_not_yet_valid', { issuedAt: now + leeway + 1 }],
    [undefined, { expiresAt: now + most + leeway }],
    ['assertion_lifetime_too_long', { expiresAt: now + most + leeway + 1 }],
    [undefined, { issuedAt: now - most + 60 }],
    ['assertion_lifetime_too_long', { issuedAt: now - most + 59 }],
  ])('%s: %j', (reason, said) => {
    expect(judge(said)).toBe(reason)
  })

  test('a client may be allowed to name the token endpoint', () => {
    expect(judge({ audience: 'token_endpoint' }, { assertionAudience: 'token_endpoint' })).toBeUndefined()
  })

  test('the key must still be there and valid', () => {
    expect(judge({}, { keys: [] })).toBe('client_has_no_key')
    expect(judge({}, { keys: [registered(second)] })).toBe('assertion_key_unknown')
    expect(judge({}, { keys: [registered(second), registered(first)] })).toBeUndefined()
    expect(judge({}, { keys: [registered(first, expired)] })).toBe('client_key_expired')
    expect(judge({}, { keys: [registered(first, revoked)] })).toBe('client_key_revoked')
    expect(judge({}, {}, { assertion: undefined } as unknown as Partial<Proof>)).toBe('assertion_key_unknown')
  })

  test('a published key counts while the client publishes its keys in the same place', () => {
    const proof = { jwksUri, credentialId: 'published' }
    expect(judge({}, { keys: [], jwksUri }, proof)).toBeUndefined()
    expect(judge({}, { jwksUri: `${jwksUri}2` }, proof)).toBe('assertion_key_unknown')
    expect(judge({}, {}, proof)).toBe('assertion_key_unknown')
  })
})

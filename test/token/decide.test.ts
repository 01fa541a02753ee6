/**
 * The decision: for the same request, proof, registry and moment always the same, and never more than was granted.
 *
 * Long because it is a table of all decisions.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JudgedCertificate } from '../../src/authentication/certificate.ts'
import type { ParsedAssertion } from '../../src/authentication/client-assertion.ts'
import type { ProvenPossession } from '../../src/authentication/dpop.ts'
import type { Proof, ProvenAssertion } from '../../src/authentication/method.ts'
import { parseNetwork } from '../../src/lib/network.ts'
import { limits } from '../../src/limits.ts'
import type { RefusalReason } from '../../src/refusals.ts'
import type {
  RegisteredClient,
  RegisteredKey,
  RegisteredResource,
  RegisteredSecret,
} from '../../src/registry/client.ts'
import type { View } from '../../src/registry/memory.ts'
import { decide } from '../../src/token/decide.ts'
import type { TokenRequest } from '../../src/token/request.ts'
import { clientDefaults } from '../support/registered.ts'

const now = 1_800_000_000
const address = '10.1.2.3'
const orders = 'https://orders.example.com'
const invoices = 'https://invoices.example.com'

const secret: RegisteredSecret = {
  secretId: 'secret01',
  hash: 'hash 1',
  expiresAt: undefined,
  revokedAt: undefined,
  tag: undefined,
}
const client: RegisteredClient = {
  ...clientDefaults,
  clientId: 'billing',
  tokenEndpointAuthMethod: 'client_secret_basic',
  secrets: new Map([[secret.secretId, secret]]),
  access: new Map([[orders, ['orders:read', 'orders:write']]]),
}
const resource: RegisteredResource = {
  audience: orders,
  scopes: new Set(['orders:read', 'orders:write', 'orders:delete']),
  tokenLifetimeSeconds: 300,
  signingAlgorithm: 'ES256',
  tokenTyp: 'at+jwt',
}
const request: TokenRequest = {
  credentials: { method: 'client_secret_basic', clientId: 'billing', secret: 'mm_…' },
  dpopProof: undefined,
  target: undefined,
  scopes: undefined,
}
const proof: Proof = { credentialId: 'secret01', checkedHash: 'hash 1', matched: true }

interface Case {
  readonly request?: Partial<TokenRequest>
  readonly proof?: Partial<Proof>
  readonly client?: Partial<RegisteredClient>
  readonly secret?: Partial<RegisteredSecret>
  readonly view?: Partial<View>
  readonly address?: string
}

function decided(changes: Case) {
  const secrets = new Map([[secret.secretId, { ...secret, ...changes.secret }]])
  const view: View = {
    version: 1,
    client: { ...client, secrets, ...changes.client },
    resource,
    ...changes.view,
  }
  const changedProof = { ...proof, ...changes.proof }
  return decide({ ...request, ...changes.request }, changedProof, view, changes.address ?? address, now)
}

const reasonOf = (changes: Case): RefusalReason | undefined => {
  const decision = decided(changes)
  return decision.granted ? undefined : decision.reason
}

const unusable: Partial<Proof> = { matched: false, fault: 'secret_hash_unusable' }
const guess: Partial<Proof> = { credentialId: 'unknown1', checkedHash: undefined, matched: false }

const tenantB: RegisteredResource = { ...resource, claims: { tenant: 'b' } }
const spiffe: RegisteredResource = {
  ...resource,
  external: true,
  subjectForm: 'spiffe://example.org/{client_id}',
}

/** Everything that can be wrong, in the order in which it is told; each with a case that nothing else is wrong with. */
const refused: readonly (readonly [RefusalReason, Case])[] = [
  ['client_unknown', { view: { client: undefined, resource: undefined } }],
  ['client_disabled', { client: { status: 'disabled' } }],
  ['client_deleted', { client: { status: 'deleted' } }],
  ['client_expired', { client: { expiresAt: now } }],
  ['client_has_no_secret', { client: { secrets: new Map() } }],
  ['secret_hash_unusable', { proof: unusable }],
  ['secret_wrong', { proof: { matched: false } }],
  ['secret_revoked', { secret: { revokedAt: now } }],
  ['secret_expired', { secret: { expiresAt: now } }],
  ['network_not_allowed', { client: { allowedNetworks: [parseNetwork('192.168.0.0/16')] } }],
  ['authentication_method_not_registered', { client: { tokenEndpointAuthMethod: 'client_secret_post' } }],
  ['certificate_missing', { client: { certificateBoundTokens: true } }],
  ['dpop_proof_missing', { client: { dpopBoundTokens: true } }],
  ['client_without_access', { client: { access: new Map() } }],
  [
    'target_missing',
    {
      client: {
        access: new Map([
          [orders, []],
          [invoices, []],
        ]),
      },
    },
  ],
  ['target_not_granted', { request: { target: invoices }, view: { resource: undefined } }],
  ['claims_contradictory', { client: { claims: { tenant: 'a' } }, view: { resource: tenantB } }],
  ['subject_unfit', { client: { clientId: 'a:b' }, view: { resource: spiffe } }],
  ['scope_not_granted', { request: { scopes: ['orders:delete'] } }],
]

describe('every refusal', () => {
  test('nothing is wrong with the request that the others differ from', () => {
    expect(decided({})).toMatchObject({ granted: true })
  })

  test.each(refused)('%s', (reason, changes) => {
    expect(reasonOf(changes)).toBe(reason)
  })
})

describe('an assertion', () => {
  const key: RegisteredKey = {
    thumbprint: 'thumbprint',
    kid: 'k',
    algorithm: 'ES256',
    publicJwk: {},
    expiresAt: undefined,
    revokedAt: undefined,
  }
  const credentials = {
    method: 'private_key_jwt',
    clientId: 'billing',
    assertion: {} as ParsedAssertion,
  } as const
  interface AssertionCase {
    readonly assertion?: Partial<ProvenAssertion>
    readonly key?: Partial<RegisteredKey>
    readonly client?: Partial<RegisteredClient>
  }
  function asserted({ assertion, key: changedKey, client: changed }: AssertionCase) {
    const good: ProvenAssertion = {
      audience: 'issuer',
      expiresAt: now + 60,
      notBefore: undefined,
      issuedAt: now,
    }
    return decided({
      request: { credentials },
      proof: { credentialId: 'thumbprint', checkedHash: undefined, assertion: { ...good, ...assertion } },
      client: { tokenEndpointAuthMethod: 'private_key_jwt', keys: [{ ...key, ...changedKey }], ...changed },
    })
  }
  const { assertionLeewaySeconds: leeway, assertionLifetimeSecondsMax: longest } = limits

  test.each<[string, AssertionCase]>([
    ['as it should be', {}],
    ['in its last second', { assertion: { expiresAt: now + 1 } }],
    ['in a part of a second', { assertion: { expiresAt: now + 0.5 } }],
    [
      'from a clock that is ahead as far as may be',
      { assertion: { issuedAt: now + leeway, notBefore: now + leeway } },
    ],
    ['as long as may be', { assertion: { expiresAt: now + longest, issuedAt: now } }],
    [
      'as long as may be, without iat',
      { assertion: { expiresAt: now + longest + leeway, issuedAt: undefined } },
    ],
    [
      'for the token endpoint, where it may',
      { assertion: { audience: 'token_endpoint' }, client: { assertionAudience: 'token_endpoint' } },
    ],
    ['with a key that expires later', { key: { expiresAt: now + 1 } }],
  ])('is granted: %s', (_title, changes) => {
    expect(asserted(changes)).toMatchObject({ granted: true })
  })

  test.each<[RefusalReason, AssertionCase]>([
    ['client_has_no_key', { client: { keys: [] } }],
    ['assertion_key_unknown', { key: { thumbprint: 'another' } }],
    ['client_key_revoked', { key: { revokedAt: now + 1_000 } }],
    ['client_key_expired', { key: { expiresAt: now } }],
    [
      'assertion_audience_wrong',
      { assertion: { audience: 'other' }, client: { assertionAudience: 'token_endpoint' } },
    ],
    ['assertion_audience_token_endpoint', { assertion: { audience: 'token_endpoint' } }],
    ['assertion_expired', { assertion: { expiresAt: now, issuedAt: now - 60 } }],
    ['assertion_not_yet_valid', { assertion: { notBefore: now + leeway + 1 } }],
    ['assertion_not_yet_valid', { assertion: { issuedAt: now + leeway + 1 } }],
    ['assertion_lifetime_too_long', { assertion: { expiresAt: now + longest + 1 } }],
    [
      'assertion_lifetime_too_long',
      { assertion: { expiresAt: now + longest + leeway + 1, issuedAt: undefined } },
    ],
    ['assertion_lifetime_too_long', { assertion: { expiresAt: now + 10, issuedAt: now - longest } }],
    ['authentication_method_not_registered', { client: { tokenEndpointAuthMethod: 'client_secret_basic' } }],
  ])('is refused: %s', (reason, changes) => {
    expect(asserted(changes)).toEqual({ granted: false, reason })
  })
})

describe('a token', () => {
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
  const certificate: JudgedCertificate = {
    notBefore: 0,
    notAfter: now + 60,
    thumbprint: 'thumbprint of a certificate',
    names: {} as JudgedCertificate['names'],
    keyThumbprint: undefined,
    fault: undefined,
    paths: [],
    untrusted: 'certificate_untrusted',
  }
  const confirmationOf = (changes: Case) => {
    const decision = decided(changes)
    return decision.granted ? decision.confirmation : decision.reason
  }

  test('is bound to the key of a proof whenever there is one, and to nothing without one', () => {
    const jkt = 'thumbprint of a key'
    expect(confirmationOf({})).toBeUndefined()
    expect(confirmationOf({ proof: { possession } })).toEqual({ jkt })
    expect(confirmationOf({ proof: { possession }, client: { dpopBoundTokens: true } })).toEqual({ jkt })
  })

  test('is bound to a certificate and a key if its client brings both, and both are asked for', () => {
    const client = { certificateBoundTokens: true, dpopBoundTokens: true }
    expect(confirmationOf({ request: { certificate }, proof: { possession }, client })).toEqual({
      'x5t#S256': 'thumbprint of a certificate',
      jkt: 'thumbprint of a key',
    })
    expect(confirmationOf({ request: { certificate }, client })).toBe('dpop_proof_missing')
    expect(confirmationOf({ proof: { possession }, client })).toBe('certificate_missing')
  })

  test.each<[RefusalReason, Partial<ProvenPossession>]>([
    ['dpop_signature_wrong', { refusal: 'dpop_signature_wrong' }],
    ['dpop_proof_expired', { issuedAt: now - limits.dpopProofAgeSecondsMax }],
    ['dpop_proof_not_yet_valid', { issuedAt: now + limits.dpopProofLeewaySeconds + 1 }],
    ['dpop_nonce_missing', { nonce: 'missing' }],
    ['dpop_nonce_wrong', { nonce: 'wrong' }],
    ['dpop_nonce_expired', { nonce: 'expired' }],
  ])('is not issued with a proof that is not right, also where none is needed: %s', (reason, changes) => {
    expect(confirmationOf({ proof: { possession: { ...possession, ...changes } } })).toBe(reason)
  })
})

describe('a client for which no method is named', () => {
  test.each(['client_secret_basic', 'client_secret_post'] as const)('may use %s', (method) => {
    const credentials = { method, clientId: 'billing', secret: 'mm_…' }
    const changes = { request: { credentials }, client: { tokenEndpointAuthMethod: undefined } }
    expect(decided(changes)).toMatchObject({ granted: true })
  })
})

test.each(['at+jwt', 'JWT'] as const)('the resource says what its tokens are: %s', (tokenTyp) => {
  expect(decided({ view: { resource: { ...resource, tokenTyp } } })).toMatchObject({ tokenTyp })
})

/** Both at once. */
function merged(first: Case, second: Case): Case {
  return {
    request: { ...second.request, ...first.request },
    proof: { ...second.proof, ...first.proof },
    client: { ...second.client, ...first.client },
    secret: { ...second.secret, ...first.secret },
    view: { ...second.view, ...first.view },
  }
}

describe('the order of refusals', () => {
  // Both kinds of not being active cannot be true of one client; the rest of these exclude each other as well.
  const exclusive = new Set([
    'client_disabled client_deleted',
    'target_missing target_not_granted',
    'client_without_access target_missing',
    // The resource of the view is another one there.
    'claims_contradictory subject_unfit',
    'target_not_granted claims_contradictory',
    'target_not_granted subject_unfit',
  ])
  const pairs = refused.flatMap(([first, firstCase], index) =>
    refused
      .slice(index + 1)
      .filter(([second]) => !exclusive.has(`${first} ${second}`))
      .map(([second, secondCase]) => [first, second, merged(firstCase, secondCase)] as const),
  )

  test.each(pairs)('%s is told before %s', (first, _second, changes) => {
    expect(reasonOf(changes)).toBe(first)
  })
})

describe('what the token says', () => {
  test('the claims of the client and of the resource, each of them once', () => {
    const claims = { tenant: 'b', level: 3 }
    expect(decided({ client: { claims }, view: { resource: tenantB } })).toMatchObject({ claims })
    expect(decided({ client: { claims: { level: 3 } }, view: { resource: tenantB } })).toMatchObject({
      claims,
    })
    expect(decided({})).not.toHaveProperty('claims')
  })

  test('nothing at all where the claims of the resource cannot be understood', () => {
    expect(reasonOf({ view: { resource: { ...resource, claims: 'unreadable' } } })).toBe(
      'claims_contradictory',
    )
  })

  test('the subject in the form of somebody else', () => {
    expect(decided({ view: { resource: spiffe } })).toMatchObject({
      clientId: 'billing',
      subject: 'spiffe://example.org/billing',
    })
    expect(decided({ view: { resource: { ...resource, external: true } } })).not.toHaveProperty('subject')
  })

  test.each<[string, Partial<RegisteredResource>]>([
    [
      'for a service of ours, which reads the client there',
      { external: false, subjectForm: 'a:{client_id}' },
    ],
    ['without the client, which would be the same for all', { subjectForm: 'spiffe://example.org/admin' }],
  ])('no form %s', (_, changes) => {
    expect(reasonOf({ view: { resource: { ...spiffe, ...changes } } })).toBe('subject_unfit')
  })
})

describe('moments', () => {
  const moments = [
    ['client_expired', (at: number): Case => ({ client: { expiresAt: at } })],
    ['secret_expired', (at: number): Case => ({ secret: { expiresAt: at } })],
  ] as const

  test.each(moments)('%s: from its very second on, and not a second before', (reason, changes) => {
    expect(reasonOf(changes(now + 1))).toBeUndefined()
    expect(reasonOf(changes(now))).toBe(reason)
    expect(reasonOf(changes(now - 1))).toBe(reason)
    expect(reasonOf(changes(0))).toBe(reason)
  })
})

test('a revoked secret is refused whatever the clock says: this one may be behind the one that revoked it', () => {
  for (const revokedAt of [0, now - 1, now, now + 1, now + 3_600]) {
    expect(reasonOf({ secret: { revokedAt } })).toBe('secret_revoked')
  }
})

describe('a proof', () => {
  test('is worth nothing once the hash it was made with was replaced', () => {
    expect(reasonOf({ secret: { hash: 'hash 2' } })).toBe('secret_wrong')
  })

  test('is worth nothing for another secret of the same client', () => {
    const secrets = new Map([
      ['secret01', secret],
      ['secret02', { ...secret, secretId: 'secret02', hash: 'hash 2' }],
    ])
    expect(reasonOf({ client: { secrets }, proof: { credentialId: 'secret02' } })).toBe('secret_wrong')
    expect(
      reasonOf({ client: { secrets }, proof: { credentialId: 'secret02', checkedHash: 'hash 2' } }),
    ).toBeUndefined()
  })

  test('is worth nothing when its secret was deleted while others stayed', () => {
    expect(reasonOf({ proof: guess })).toBe('secret_wrong')
    expect(reasonOf({ client: { secrets: new Map([['other001', secret]]) } })).toBe('secret_wrong')
  })

  test('that matched the hash of nothing proves nothing', () => {
    expect(reasonOf({ proof: { checkedHash: undefined } })).toBe('secret_wrong')
  })

  test('a wrong secret is wrong, revoked or not: nobody learns what became of one they do not hold', () => {
    expect(reasonOf({ proof: { matched: false }, secret: { revokedAt: 0, expiresAt: 0 } })).toBe(
      'secret_wrong',
    )
  })

  test('nothing but a matched secret of the current hash is ever granted anything', () => {
    const anyProof = fc.record({
      credentialId: fc.constantFrom('secret01', 'unknown1'),
      checkedHash: fc.constantFrom(undefined, 'hash 1', 'hash 2'),
      matched: fc.boolean(),
    })
    fc.assert(
      fc.property(anyProof, fc.constantFrom('hash 1', 'hash 2'), (made, hash) => {
        const proves = made.matched && made.credentialId === 'secret01' && made.checkedHash === hash
        expect(reasonOf({ proof: made, secret: { hash } })).toBe(proves ? undefined : 'secret_wrong')
      }),
    )
  })
})

describe('networks', () => {
  const office = { client: { allowedNetworks: [parseNetwork('10.1.0.0/16'), parseNetwork('2001:db8::/32')] } }

  test.each(['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::7'])('%s is inside', (from) => {
    expect(reasonOf({ ...office, address: from })).toBeUndefined()
  })

  test.each(['10.2.0.1', '::1', '2001:db9::7', '', 'unknown'])('%j is outside', (from) => {
    expect(reasonOf({ ...office, address: from })).toBe('network_not_allowed')
  })

  test('without networks a client calls from anywhere', () => {
    expect(reasonOf({ address: '203.0.113.9' })).toBeUndefined()
  })
})

describe('the audience (RFC 8707 §2)', () => {
  const both = {
    access: new Map([
      [orders, ['orders:read']],
      [invoices, ['invoices:read']],
    ]),
  }

  test('may be left out by a client that has one only', () => {
    expect(decided({})).toMatchObject({ audience: orders })
  })

  test('must be named by a client that has several', () => {
    expect(reasonOf({ client: both })).toBe('target_missing')
    expect(decided({ client: both, request: { target: orders } })).toMatchObject({ audience: orders })
  })

  test.each([`${orders}/`, orders.toUpperCase(), 'HTTPS://orders.example.com', `${orders}:443`, ''])(
    'is compared as text: %j is another one',
    (target) => {
      expect(reasonOf({ request: { target } })).toBe('target_not_granted')
    },
  )

  test('that was deleted while access to it was left behind is not granted', () => {
    expect(reasonOf({ view: { resource: undefined } })).toBe('target_not_granted')
  })

  test('decides how long the token lives', () => {
    expect(decided({ view: { resource: { ...resource, tokenLifetimeSeconds: 60 } } })).toMatchObject({
      lifetimeSeconds: 60,
    })
  })
})

describe('scopes (RFC 6749 §3.3)', () => {
  test('that are not named are those that are granted, in their order', () => {
    expect(decided({})).toEqual({
      granted: true,
      clientId: 'billing',
      audience: orders,
      scopes: ['orders:read', 'orders:write'],
      lifetimeSeconds: 300,
      signingAlgorithm: 'ES256',
      tokenTyp: 'at+jwt',
    })
  })

  test('that are named are granted as they are named', () => {
    expect(decided({ request: { scopes: ['orders:write', 'orders:read'] } })).toMatchObject({
      scopes: ['orders:write', 'orders:read'],
    })
    expect(decided({ request: { scopes: ['orders:write'] } })).toMatchObject({ scopes: ['orders:write'] })
  })

  test('that the resource no longer has are worth nothing, asked for or not', () => {
    const shrunk = { view: { resource: { ...resource, scopes: new Set(['orders:read']) } } }
    expect(decided(shrunk)).toMatchObject({ scopes: ['orders:read'] })
    expect(reasonOf({ ...shrunk, request: { scopes: ['orders:write'] } })).toBe('scope_not_granted')
  })

  test('that are all gone leave no access: a token for nothing would say otherwise', () => {
    const emptied = { view: { resource: { ...resource, scopes: new Set(['orders:delete']) } } }
    expect(reasonOf(emptied)).toBe('scope_not_granted')
  })

  test('none at all is a token without scope, not a refusal', () => {
    expect(decided({ client: { access: new Map([[orders, []]]) } })).toMatchObject({
      granted: true,
      scopes: [],
    })
  })

  test('one that is not granted refuses all of them: nothing is dropped silently', () => {
    const scope = fc.constantFrom('a', 'b', 'c', 'd', 'A', 'constructor', '__proto__')
    const scopes = fc.uniqueArray(scope)
    const asked = fc.uniqueArray(scope, { minLength: 1 })
    fc.assert(
      fc.property(scopes, scopes, asked, (granted, known, wanted) => {
        const decision = decided({
          client: { access: new Map([[orders, granted]]) },
          view: { resource: { ...resource, scopes: new Set(known) } },
          request: { scopes: wanted },
        })
        const allowed = wanted.every((one) => granted.includes(one) && known.includes(one))
        expect(decision).toMatchObject(
          allowed ? { granted: true, scopes: wanted } : { granted: false, reason: 'scope_not_granted' },
        )
      }),
    )
  })
})

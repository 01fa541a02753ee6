/** What of a row is believed beside its statement. Long because it is a table of what a row can have that no statement has. */
import { describe, expect, test } from 'vitest'
import type { Statement } from '../../src/registry/seal-tree.ts'
import {
  believeClient,
  believeKeys,
  believeResource,
  believeSecrets,
  type ClientFacts,
  type ClientStatement,
  secretHashOf,
} from '../../src/registry/statement.ts'
import {
  clientStatement,
  readClientStatement,
  readResourceStatement,
  resourceStatement,
} from '../../src/registry/statement-text.ts'

const facts: ClientFacts = {
  status: 'active',
  tokenEndpointAuthMethod: 'client_secret_basic',
  allowedNetworks: ['10.0.0.0/8', '192.0.2.7'],
  expiresAt: 2_000,
  access: [
    { audience: 'urn:a', scopes: ['read', 'write'] },
    { audience: 'urn:b', scopes: [] },
  ],
  assertionAudience: 'token_endpoint',
  certificateField: { name: 'tls_client_auth_san_dns', value: 'a.td' },
  requiredCertificate: { name: 'tls_client_auth_san_uri', value: 'urn:a' },
  certificateBoundTokens: false,
  dpopBoundTokens: true,
  fapi: true,
}
const secret = { secretId: 'aaaaaaaa', hash: 'phc', expiresAt: 1_000 }
const key = { thumbprint: 'thumbprint', algorithm: 'PS256', expiresAt: 1_000 }
const statement: ClientStatement = {
  ...facts,
  secrets: [{ ...secret, hash: secretHashOf('phc') }],
  keys: [key],
}

test('a statement is read as it was written', () => {
  const text = JSON.stringify(clientStatement('billing', statement))
  expect(readClientStatement(JSON.parse(text) as Statement)).toEqual(statement)
  const resource = {
    scopes: ['a'],
    tokenLifetimeSeconds: 300,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
  }
  expect(readResourceStatement(resourceStatement('urn:a', resource))).toEqual(resource)
})

test('a client that has nothing of what came later has the text that it had before', () => {
  const none = { certificateField: undefined, requiredCertificate: undefined, dpopBoundTokens: false }
  const { fapi: _, ...others } = statement
  const without = { ...others, ...none, keys: [], assertionAudience: 'issuer' as const }
  const text = clientStatement('billing', without)
  expect(text).toHaveLength(8)
  expect(readClientStatement(text)).toEqual(without)
})

describe('keys', () => {
  const row = { ...key, kid: 'any', revokedAt: undefined }
  test.each([
    ['as registered', row, [row], 0],
    ['with another name', { ...row, kid: 'other' }, [{ ...row, kid: 'other' }], 0],
    ['revoked', { ...row, revokedAt: 1 }, [{ ...row, revokedAt: 1 }], 0],
    ['with an earlier end', { ...row, expiresAt: 1 }, [{ ...row, expiresAt: 1 }], 0],
    ['with a later end', { ...row, expiresAt: undefined }, [row], 1],
    ['for another algorithm', { ...row, algorithm: 'RS256' }, [], 1],
    ['that nobody registered', { ...row, thumbprint: 'other' }, [], 1],
  ])('%s', (_title, given, keys, differences) => {
    const believed = believeKeys([given], statement)
    expect(believed.keys).toEqual(keys)
    expect(believed.differences).toHaveLength(differences)
  })
})

test('whether tokens are bound, the profile, and where keys are, are read beside keys and without them', () => {
  const { fapi: _, ...free } = statement
  const none = { certificateField: undefined, requiredCertificate: undefined }
  const both = [{}, { keys: [] }, none, { ...none, keys: [] }]
  for (const changes of [...both, ...both.map((each) => ({ ...each, fapi: true as const }))]) {
    for (const [dpopBoundTokens, jwksUri] of [
      [true, undefined],
      [false, undefined],
      [true, 'https://a.example.com/keys'],
      [false, 'https://a.example.com/keys'],
    ] as const) {
      const claims = dpopBoundTokens ? { tenant: 'acme', list: ['a'] } : undefined
      const given = {
        ...free,
        assertionAudience: 'issuer' as const,
        ...changes,
        dpopBoundTokens,
        jwksUri,
        claims,
      }
      const text = JSON.stringify(clientStatement('billing', given))
      expect(readClientStatement(JSON.parse(text) as Statement)).toEqual(given)
    }
  }
})

test('a row that says the same is believed', () => {
  expect(believeClient(facts, statement)).toEqual({ facts, differences: [] })
  const row = { ...secret, revokedAt: undefined }
  expect(believeSecrets([row], statement)).toEqual({ secrets: [row], differences: [] })
})

describe('what takes away counts and is no difference', () => {
  test.each<[string, Partial<ClientFacts>]>([
    ['disabled', { status: 'disabled' }],
    ['deleted', { status: 'deleted' }],
    ['an earlier end', { expiresAt: 1 }],
    ['fewer networks', { allowedNetworks: ['192.0.2.7'] }],
    ['a part of a network', { allowedNetworks: ['10.1.0.0/16'] }],
    ['a network that nobody can read', { allowedNetworks: ['10.0.0.0/8', '?'] }],
    ['fewer scopes', { access: [{ audience: 'urn:a', scopes: ['read'] }] }],
    ['no access', { access: [] }],
    ['the issuer only', { assertionAudience: 'issuer' }],
  ])('%s', (_name, change) => {
    const row = { ...facts, ...change }
    expect(believeClient(row, statement)).toEqual({ facts: row, differences: [] })
  })

  test('tokens that are bound where they need not be', () => {
    expect(believeClient(facts, { ...statement, dpopBoundTokens: false })).toEqual({ facts, differences: [] })
  })

  test('a client that is held to the profile where it need not be', () => {
    expect(believeClient(facts, { ...statement, fapi: false })).toEqual({ facts, differences: [] })
  })

  test('a method and networks where any was registered', () => {
    const any = { ...statement, tokenEndpointAuthMethod: undefined, allowedNetworks: [] }
    expect(believeClient(facts, any)).toEqual({ facts, differences: [] })
  })
})

describe('what gives counts for nothing, and the rest of the row stays', () => {
  test.each<[string, Partial<ClientFacts>, string]>([
    ['a later end', { expiresAt: 3_000 }, 'expires_at'],
    ['no end', { expiresAt: undefined }, 'expires_at'],
    ['any method', { tokenEndpointAuthMethod: undefined }, 'token_endpoint_auth_method'],
    ['from anywhere', { allowedNetworks: [] }, 'allowed_networks'],
    [
      'one more network',
      { allowedNetworks: [...facts.allowedNetworks, '2001:db8::/32'] },
      'allowed_networks',
    ],
    [
      'more scopes',
      { access: [{ audience: 'urn:a', scopes: ['read', 'write', 'all'] }, ...facts.access.slice(1)] },
      'access urn:a',
    ],
    [
      'scopes where none were',
      { access: [...facts.access.slice(0, 1), { audience: 'urn:b', scopes: ['all'] }] },
      'access urn:b',
    ],
    ['tokens that are not bound', { dpopBoundTokens: false }, 'dpop_bound_access_tokens'],
    ['a client that is not held to the profile', { fapi: false }, 'fapi'],
    ['keys in another place', { jwksUri: 'https://evil.example.com/keys' }, 'jwks_uri'],
    ['more access', { access: [...facts.access, { audience: 'urn:c', scopes: [] }] }, 'access urn:c'],
  ])('%s', (_name, change, difference) => {
    const { facts: believed, differences } = believeClient({ ...facts, ...change }, statement)
    expect(differences).toEqual([difference])
    const access = facts.access.filter(
      ({ audience }) => difference !== 'access urn:b' || audience !== 'urn:b',
    )
    expect(believed).toEqual({ ...facts, access })
  })

  test('a network around a registered one', () => {
    const { facts: believed, differences } = believeClient(
      { ...facts, allowedNetworks: ['0.0.0.0/0', '192.0.2.7'] },
      statement,
    )
    expect([believed?.allowedNetworks, differences]).toEqual([['192.0.2.7'], ['allowed_networks']])
  })

  test.each(['disabled', 'deleted'] as const)('a client that was %s stays so', (status) => {
    const { facts: believed, differences } = believeClient(facts, { ...statement, status })
    expect([believed?.status, differences]).toEqual([status, ['status']])
  })
})

test.each<[string, Partial<ClientFacts>]>([
  ['another method', { tokenEndpointAuthMethod: 'client_secret_post' }],
  ['other networks', { allowedNetworks: ['198.51.100.0/24'] }],
])('nothing is in force where row and statement have nothing in common: %s', (_name, change) => {
  const { facts: believed, differences } = believeClient({ ...facts, ...change }, statement)
  expect([believed, differences.length]).toEqual([undefined, 1])
})

test('a row that nobody registered gives nothing', () => {
  expect(believeClient(facts, undefined)).toEqual({ facts: undefined, differences: ['unregistered'] })
  expect(believeClient({ ...facts, status: 'deleted' }, undefined).differences).toEqual([])
})

test('secrets: another hash, a later end, one that nobody registered, one that was revoked', () => {
  const row = { ...secret, revokedAt: undefined }
  const of = (rows: Parameters<typeof believeSecrets>[0]) => believeSecrets(rows, statement)
  expect(of([{ ...row, hash: 'other' }])).toEqual({ secrets: [], differences: ['secret aaaaaaaa'] })
  expect(of([{ ...row, expiresAt: undefined }])).toEqual({ secrets: [row], differences: ['secret aaaaaaaa'] })
  expect(of([{ ...row, expiresAt: 5 }])).toEqual({ secrets: [{ ...row, expiresAt: 5 }], differences: [] })
  expect(of([{ ...row, secretId: 'bbbbbbbb' }])).toEqual({ secrets: [], differences: ['secret bbbbbbbb'] })
  const revoked = { ...row, secretId: 'bbbbbbbb', revokedAt: 1 }
  expect(of([revoked])).toEqual({ secrets: [revoked], differences: [] })
})

test('resources: less counts, more does not, and another algorithm ends it', () => {
  const registered = {
    scopes: ['a', 'b'],
    tokenLifetimeSeconds: 300,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
  }
  const less = { ...registered, scopes: ['a'], tokenLifetimeSeconds: 60 }
  expect(believeResource(less, registered)).toEqual({ facts: less, differences: [] })
  const more = { ...registered, scopes: ['a', 'b', 'c'], tokenLifetimeSeconds: 900 }
  expect(believeResource(more, registered)).toEqual({
    facts: registered,
    differences: ['scopes', 'token_lifetime_seconds'],
  })
  expect(believeResource({ ...registered, signingAlgorithm: 'RS256' }, registered)).toEqual({
    facts: undefined,
    differences: ['signing_algorithm'],
  })
  expect(believeResource({ ...registered, tokenTyp: 'JWT' }, registered).facts).toBeUndefined()
  expect(believeResource(registered, undefined).facts).toBeUndefined()
})

describe('what tokens say', () => {
  const plain = { scopes: ['a'], tokenLifetimeSeconds: 60, signingAlgorithm: 'RS256', tokenTyp: 'JWT' }
  const external = { ...plain, external: true, subjectForm: 'c:{client_id}', claims: { b: ['x'], a: 1 } }

  test('stands in the text, and the text of a resource without any of it stays what it was', () => {
    expect(resourceStatement('urn:a', plain)).toEqual(['resource', 'urn:a', ['a'], 60, 'RS256', 'JWT'])
    for (const given of [
      plain,
      external,
      { ...plain, external: false, subjectForm: undefined, claims: { a: 1 } },
    ]) {
      const text = JSON.stringify(resourceStatement('urn:a', given))
      expect(readResourceStatement(JSON.parse(text) as Statement)).toEqual(given)
    }
    // Whatever order a row has them in, it is the same text.
    expect(resourceStatement('urn:a', { ...external, claims: { a: 1, b: ['x'] } })).toEqual(
      resourceStatement('urn:a', external),
    )
  })

  test('a row that says the same is believed', () => {
    const row = { ...external, claims: { a: 1, b: ['x'] } }
    expect(believeResource(row, external)).toEqual({ facts: external, differences: [] })
  })

  test.each<[string, object]>([
    ['external', { external: false }],
    ['subject_form', { subjectForm: 'd:{client_id}' }],
    ['subject_form', { subjectForm: undefined }],
    ['claims', { claims: undefined }],
    ['claims', { claims: { b: ['x'] } }],
    ['claims', { claims: { b: ['x'], a: 1, c: 2 } }],
    ['claims', { claims: 'unreadable' }],
  ])('nothing is in force of a resource with another %s: %j', (difference, change) => {
    expect(believeResource({ ...external, ...change }, external)).toEqual({
      facts: undefined,
      differences: [difference],
    })
  })

  test.each([undefined, {}, { tenant: 'other' }, { tenant: 'acme', more: 1 }])(
    'nothing is in force of a client whose claims are others: %j',
    (claims) => {
      const registered = { ...statement, claims: { tenant: 'acme' } }
      expect(believeClient({ ...facts, claims }, registered)).toEqual({
        facts: undefined,
        differences: ['claims'],
      })
      expect(believeClient({ ...facts, claims: { tenant: 'acme' } }, registered).differences).toEqual([])
    },
  )
})

describe('a certificate', () => {
  const [own, asked] = [facts.certificateField, facts.requiredCertificate]
  const other = { name: 'tls_client_auth_san_dns', value: 'b.td' } as const
  const sameValue = { name: 'tls_client_auth_san_uri', value: 'a.td' } as const
  const believed = (row: Partial<ClientFacts>, before: Partial<ClientStatement> = {}) => {
    const found = believeClient({ ...facts, ...row }, { ...statement, ...before })
    const { certificateField, requiredCertificate, certificateBoundTokens } = found.facts ?? {}
    return [found.differences, certificateField, requiredCertificate, certificateBoundTokens]
  }

  test('proves a client where row and statement name the same', () => {
    expect(believed({})).toEqual([[], own, asked, false])
    for (const certificateField of [other, sameValue])
      expect(believed({ certificateField })).toEqual([['certificate'], undefined, asked, false])
    expect(believed({}, { certificateField: undefined })).toEqual([['certificate'], undefined, asked, false])
    expect(believed({ certificateField: undefined })).toEqual([[], undefined, asked, false])
  })

  test('that is asked for in addition is asked for by either, and both must not differ', () => {
    const difference = ['required_certificate']
    expect(believed({ requiredCertificate: undefined })).toEqual([difference, own, asked, false])
    expect(believed({}, { requiredCertificate: undefined })).toEqual([[], own, asked, false])
    const none = { requiredCertificate: undefined }
    expect(believed(none, none)).toEqual([[], own, undefined, false])
    const contradicted = believeClient({ ...facts, requiredCertificate: other }, statement)
    expect(contradicted).toEqual({ facts: undefined, differences: difference })
  })

  test('binds the tokens where either says so', () => {
    const bound = { certificateBoundTokens: true }
    expect(believed(bound, bound)).toEqual([[], own, asked, true])
    expect(believed(bound)).toEqual([[], own, asked, true])
    expect(believed({}, bound)).toEqual([['certificate_bound_tokens'], own, asked, true])
  })
})

describe('what a client may do in its assertion and must do beside it', () => {
  const narrow = { assertionAudience: 'issuer', dpopBoundTokens: false, fapi: false } as const
  const wide = { assertionAudience: 'token_endpoint', dpopBoundTokens: true, fapi: true } as const
  const believed = (row: Partial<ClientFacts>, before: Partial<ClientStatement>) => {
    const { facts: found, differences } = believeClient({ ...facts, ...row }, { ...statement, ...before })
    return [differences, found?.assertionAudience, found?.dpopBoundTokens, found?.fapi]
  }

  test('is what is narrower of row and statement', () => {
    expect(believed(narrow, narrow)).toEqual([[], 'issuer', false, undefined])
    expect(believed(wide, wide)).toEqual([[], 'token_endpoint', true, true])
    expect(believed(wide, narrow)).toEqual([['assertion_audience'], 'issuer', true, true])
    const differences = ['dpop_bound_access_tokens', 'fapi']
    expect(believed(narrow, wide)).toEqual([differences, 'issuer', true, true])
  })

  test('is proven by keys at the registered address alone', () => {
    const at = (jwksUri: string | undefined, before: string | undefined) => {
      const found = believeClient({ ...facts, jwksUri }, { ...statement, jwksUri: before })
      return [found.differences, found.facts?.jwksUri]
    }
    expect(at('https://a', 'https://a')).toEqual([[], 'https://a'])
    expect(at('https://b', 'https://a')).toEqual([['jwks_uri'], undefined])
    expect(at('https://a', undefined)).toEqual([['jwks_uri'], undefined])
    expect(at(undefined, 'https://a')).toEqual([[], undefined])
  })
})

test('without a statement no secret and no key counts, and a revoked one stays what it is', () => {
  const row = { ...secret, revokedAt: undefined }
  expect(believeSecrets([row], undefined)).toEqual({ secrets: [], differences: ['secret aaaaaaaa'] })
  const keyRow = { ...key, revokedAt: undefined }
  expect(believeKeys([keyRow], undefined)).toEqual({ keys: [], differences: ['client_key thumbprint'] })
  const revoked = { ...key, thumbprint: 'other', revokedAt: 1 }
  expect(believeKeys([revoked], statement)).toEqual({ keys: [revoked], differences: [] })
})

/** A plan leads from any registry to what the file says, and changes nothing that the file does not name. */
import { describe, expect, test } from 'vitest'
import type {
  ClientDefinition,
  ResourceDefinition,
  StoredClient,
} from '../../src/administration/definition.ts'
import { makePlan, type RegistryState } from '../../src/administration/plan.ts'

const orders: ResourceDefinition = {
  audience: 'urn:orders',
  name: 'Orders',
  scopes: ['r', 'w'],
  tokenLifetimeSeconds: 300,
  signingAlgorithm: 'ES256',
  tokenTyp: 'at+jwt',
}
const billing: ClientDefinition = {
  clientId: 'billing',
  name: 'Billing',
  tokenEndpointAuthMethod: 'client_secret_basic',
  allowedNetworks: [],
  expiresAt: undefined,
  status: undefined,
  access: [{ audience: 'urn:orders', scopes: ['r'] }],
  keys: undefined,
  assertionAudience: 'issuer',
  dpopBoundTokens: false,
}
const stored: StoredClient = {
  ...billing,
  keys: [],
  status: 'active',
  validSecrets: 1,
  createdAt: 0,
  updatedAt: 0,
}

function state(
  clients: readonly StoredClient[] = [],
  resources = [orders],
  otherGrants: RegistryState['otherGrants'] = [],
) {
  return {
    resources: new Map(resources.map((resource) => [resource.audience, resource])),
    clients: new Map(clients.map((client) => [client.clientId, client])),
    otherGrants,
  }
}

const only = (client: ClientDefinition) => ({ resources: [], clients: [client] })

describe('what a file means', () => {
  test('what is as it should be stays', () => {
    const { plan, mistakes } = makePlan({ resources: [orders], clients: [billing] }, state([stored]))
    expect(mistakes).toEqual([])
    expect(plan.resources[0]?.status).toBe('unchanged')
    expect(plan.clients[0]).toMatchObject({ status: 'unchanged', access: [], lacksSecret: false })
  })

  test('a status that the file leaves out is left as it is', () => {
    const disabled = { ...stored, status: 'disabled' } as const
    expect(makePlan(only(billing), state([disabled])).plan.clients[0]).toMatchObject({
      status: 'unchanged',
      finalStatus: 'disabled',
    })
    expect(makePlan(only({ ...billing, status: 'active' }), state([disabled])).plan.clients[0]).toMatchObject(
      {
        status: 'changed',
        finalStatus: 'active',
      },
    )
  })

  test('an optional field that the file leaves out means its default', () => {
    const before = { ...stored, allowedNetworks: ['10.0.0.0/8'], expiresAt: 1_800_000_000 }
    expect(makePlan(only(billing), state([before])).plan.clients[0]?.changes).toEqual([
      { field: 'allowed_networks', from: ['10.0.0.0/8'], to: [] },
      { field: 'expires_at', from: '2027-01-15T08:00:00Z', to: null },
    ])
  })

  test('a method that the file leaves out releases a client that was pinned to one', () => {
    const released = { ...billing, tokenEndpointAuthMethod: undefined }
    expect(makePlan(only(released), state([stored])).plan.clients[0]?.changes).toEqual([
      { field: 'token_endpoint_auth_method', from: 'client_secret_basic', to: null },
    ])
    const free = { ...stored, tokenEndpointAuthMethod: undefined }
    expect(makePlan(only(released), state([free])).plan.clients[0]?.status).toBe('unchanged')
  })

  test('the type of a resource’s tokens is changed like its other fields', () => {
    const { plan } = makePlan({ resources: [{ ...orders, tokenTyp: 'JWT' }], clients: [] }, state())
    expect(plan.resources[0]).toMatchObject({
      status: 'changed',
      changes: [{ field: 'token_typ', from: 'at+jwt', to: 'JWT' }],
    })
  })

  test('access that the file does not list is taken away', () => {
    const before = {
      ...stored,
      access: [
        { audience: 'urn:orders', scopes: ['w'] },
        { audience: 'urn:gone', scopes: [] },
      ],
    }
    const outcomes = makePlan(only(billing), state([before])).plan.clients[0]?.access.map(
      ({ outcome }) => outcome,
    )
    expect(outcomes).toEqual(['changed', 'deleted'])
  })

  test('a client without a secret that works is said to be one, and gets none', () => {
    const { plan } = makePlan(only(billing), state([{ ...stored, validSecrets: 0 }]))
    expect(plan.clients[0]).toMatchObject({ status: 'unchanged', lacksSecret: true })
  })
})

describe('what is judged on the merged result', () => {
  test('a deleted id is not used again', () => {
    const { mistakes } = makePlan(only(billing), state([{ ...stored, status: 'deleted' }]))
    expect(mistakes).toMatchObject([{ code: 'client_id_taken', path: ['clients', 0, 'client_id'] }])
  })

  test('scopes are those of the resource in the file, not of the one in the database', () => {
    const { mistakes } = makePlan(
      { resources: [{ ...orders, scopes: ['w'] }], clients: [billing] },
      state([stored]),
    )
    expect(mistakes).toMatchObject([
      { code: 'scope_unknown', path: ['clients', 0, 'access', 0, 'scopes', 0], scope: 'r', known: ['w'] },
    ])
  })

  test('a scope that somebody else holds is not taken from the resource', () => {
    const grants = [{ clientId: 'other', audience: 'urn:orders', scopes: ['w'] }]
    const definitions = { resources: [{ ...orders, scopes: ['r'] }], clients: [billing] }
    const { mistakes } = makePlan(definitions, state([stored], [orders], grants))
    expect(mistakes).toMatchObject([
      { code: 'scope_in_use', path: ['resources', 0, 'scopes'], scope: 'w', holders: ['other'] },
    ])
    expect(makePlan(definitions, state([stored])).mistakes).toEqual([])
  })

  test('an audience that nothing has is refused', () => {
    expect(makePlan(only(billing), state([], [])).mistakes).toMatchObject([
      { code: 'resource_unknown', path: ['clients', 0, 'access', 0, 'audience'], audience: 'urn:orders' },
    ])
  })
})

describe('what tokens say', () => {
  const tenants = { ...orders, claims: { tenant: 'acme' } }
  const spiffe = { ...orders, external: true, subjectForm: 'spiffe://example.org/{client_id}' }

  test('claims are compared as a whole, whatever order they have', () => {
    const claims = { a: 'x', b: ['y'] }
    const before = state([{ ...stored, claims }], [{ ...orders, claims }])
    const same = { b: ['y'], a: 'x' }
    const kept = makePlan(
      { resources: [{ ...orders, claims: same }], clients: [{ ...billing, claims: same }] },
      before,
    )
    expect([kept.plan.resources[0]?.status, kept.plan.clients[0]?.status]).toEqual(['unchanged', 'unchanged'])
    const { plan } = makePlan({ resources: [orders], clients: [{ ...billing, claims: { a: 'x' } }] }, before)
    expect(plan.resources[0]?.changes).toEqual([{ field: 'claims', from: '{"a":"x","b":["y"]}', to: null }])
    expect(plan.clients[0]?.changes).toEqual([
      { field: 'claims', from: '{"a":"x","b":["y"]}', to: '{"a":"x"}' },
    ])
  })

  test('a resource that becomes external, and its form', () => {
    const { plan } = makePlan({ resources: [spiffe], clients: [] }, state())
    expect(plan.resources[0]?.changes).toEqual([
      { field: 'external', from: false, to: true },
      { field: 'subject_form', from: null, to: 'spiffe://example.org/{client_id}' },
    ])
  })

  test('a client and a resource that contradict each other are refused, and those that agree are not', () => {
    const of = (tenant: string) =>
      makePlan({ resources: [tenants], clients: [{ ...billing, claims: { tenant } }] }, state()).mistakes
    expect(of('acme')).toEqual([])
    expect(of('other')).toEqual([
      {
        code: 'claims_contradict',
        path: ['clients', 0, 'claims', 'tenant'],
        claim: 'tenant',
        others: ['the resource urn:orders'],
      },
    ])
  })

  test('so is a resource that contradicts a client with access to it', () => {
    const holders = [
      { clientId: 'other', audience: 'urn:orders', claims: { tenant: 'other' } },
      { clientId: 'fits', audience: 'urn:orders', claims: { tenant: 'acme' } },
      { clientId: 'elsewhere', audience: 'urn:invoices', claims: { tenant: 'other' } },
    ]
    expect(makePlan({ resources: [tenants], clients: [] }, { ...state(), holders }).mistakes).toEqual([
      {
        code: 'claims_contradict',
        path: ['resources', 0, 'claims', 'tenant'],
        claim: 'tenant',
        others: ['the client other'],
      },
    ])
  })

  test('a rule gives workloads without a client no access to what needs a SPIFFE ID: theirs has a colon', () => {
    const rule = {
      rule: 'deploy',
      conditions: [{ claim: 'sub', equals: 'a' }],
      access: [{ audience: 'urn:orders', scopes: [] }],
      assertionAudience: 'issuer',
      assertionMaxAgeSeconds: 60,
      assertionUse: 'once',
      tokenLifetimeSeconds: undefined,
      allowDefaultServiceAccount: false,
      dangerouslyAnySubject: false,
    } as const
    const codes = (clientId: string | undefined) => {
      const issuer = {
        issuer: 'https://a.example',
        status: undefined,
        keys: { kind: 'discovery' },
        rules: [{ ...rule, clientId }],
      } as const
      const trust = { issuers: new Map(), clientIds: new Set(['billing']) }
      const { mistakes } = makePlan(
        { resources: [spiffe], clients: [], issuers: [issuer] },
        { ...state(), trust },
      )
      return mistakes.map(({ code }) => code)
    }
    expect(codes('billing')).toEqual([])
    expect(codes(undefined)).toEqual(['subject_unfit'])
  })

  test('a client whose id makes no SPIFFE ID has no access where one is needed', () => {
    const form = 'spiffe://example.org/{client_id}'
    const odd = { ...billing, clientId: 'acme:billing' }
    expect(makePlan({ resources: [spiffe], clients: [billing, odd] }, state()).mistakes).toEqual([
      { code: 'subject_unfit', path: ['clients', 1, 'access', 0], form, clientIds: ['acme:billing'] },
    ])
    const holders = ['a', 'b:c'].map((clientId) => ({ clientId, audience: 'urn:orders', claims: undefined }))
    expect(makePlan({ resources: [spiffe], clients: [] }, { ...state(), holders }).mistakes).toEqual([
      { code: 'subject_unfit', path: ['resources', 0, 'subject_form'], form, clientIds: ['b:c'] },
    ])
  })
})

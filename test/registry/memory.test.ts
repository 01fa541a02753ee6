/** What of the registry is in memory: what is known of a client, what was read, and what a change makes it forget. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import type { RegisteredClient, RegisteredResource } from '../../src/registry/client.ts'
import { RegistryMemory } from '../../src/registry/memory.ts'
import { TrustMemory } from '../../src/registry/trust-memory.ts'
import { clientDefaults } from '../support/registered.ts'

const version = 7

const client = (clientId: string, more: Partial<RegisteredClient> = {}): RegisteredClient => ({
  ...clientDefaults,
  clientId,
  access: new Map([['orders', []]]),
  ...more,
})

const resource = (audience: string, tokenLifetimeSeconds = 300): RegisteredResource => ({
  audience,
  scopes: new Set(),
  tokenLifetimeSeconds,
  signingAlgorithm: 'ES256',
  tokenTyp: 'at+jwt',
})

interface Loaded {
  readonly clients?: readonly RegisteredClient[]
  readonly resources?: readonly RegisteredResource[]
  readonly unsealedResources?: readonly string[]
}

const loaded = (given: Loaded) => ({ version, clients: [], resources: [], ...given })

/** Memory that has taken in what was read, and the trust table with it. */
async function openMemory(given: Loaded = {}, asked: readonly string[] = [], clientsMax = 10) {
  const trust = new TrustMemory(async (adopt) =>
    adopt({ issuers: new Map(), blocked: new Set(), resources: new Map() }),
  )
  const memory = new RegistryMemory(clientsMax, trust)
  await trust.get()
  memory.adopt(loaded(given), asked)
  const view = (clientId: string, target?: string) => memory.view(clientId, target, version)
  return { memory, trust, view }
}

const orders = resource('orders')
const billing = client('billing')

describe('of a client, memory knows', () => {
  const both = client('both', {
    access: new Map([
      ['orders', []],
      ['invoices', []],
    ]),
  })
  const none = client('none', { access: new Map() })
  const hidden = client('hidden', { access: new Map([['unsealed audience', []]]) })
  const halfRead = client('half read', { access: new Map([['not read', []]]) })
  const longest = 'a'.repeat(limits.clientIdCharactersMax)
  const nobody = { client: undefined, resource: undefined }
  const cases: readonly (readonly [
    rule: string,
    clientId: string,
    target: string | undefined,
    expected: object | undefined,
  ])[] = [
    ['it and its only resource', 'billing', undefined, { client: billing, resource: orders }],
    ['it and the resource that is asked for', 'both', 'orders', { client: both, resource: orders }],
    ['it and neither of two resources', 'both', undefined, { client: both, resource: undefined }],
    ['it and no resource that is not its own', 'none', 'orders', { client: none, resource: undefined }],
    ['it and no resource that it has none of', 'none', undefined, { client: none, resource: undefined }],
    ['it and no resource that is unsealed', 'hidden', undefined, { client: hidden, resource: undefined }],
    ['nothing where its resource was not read', 'half read', undefined, undefined],
    ['that there is none', 'nobody', undefined, nobody],
    ['nothing where it was not read', 'somebody', undefined, undefined],
    ['nothing of the longest name there can be', longest, undefined, undefined],
    ['that there is none of a longer name', `${longest}a`, undefined, nobody],
  ]
  test.each(cases)('%s', async (_rule, clientId, target, expected) => {
    const clients = [billing, both, none, hidden, halfRead]
    const { view } = await openMemory(
      { clients, resources: [orders], unsealedResources: ['unsealed audience'] },
      [...clients.map((each) => each.clientId), 'nobody'],
    )
    expect(view(clientId, target)).toEqual(expected && { version, ...expected })
  })

  test('all that is registered of it, if it was read', async () => {
    const { memory } = await openMemory({ clients: [billing] })
    expect(memory.client('billing')).toBe(billing)
    expect(memory.client('nobody')).toBeUndefined()
  })

  test('what was used last, and no more than so many', async () => {
    const { memory } = await openMemory({ clients: [client('a'), client('b'), client('c')] }, [], 2)
    expect(['a', 'b', 'c'].map((id) => memory.client(id)?.clientId)).toEqual([undefined, 'b', 'c'])
  })
})

describe('of what was inspected, memory takes in only what takes the place of something unsealed', () => {
  const right = client('client', { expiresAt: 1 })
  const clients: readonly (readonly [
    before: string,
    RegisteredClient | undefined,
    RegisteredClient | undefined,
  ])[] = [
    ['an unsealed client', client('client', { status: 'unsealed' }), right],
    ['a client that was believed', client('client'), client('client')],
    ['no client', undefined, undefined],
  ]
  test.each(clients)('where there was %s', async (_before, before, expected) => {
    const { memory } = await openMemory({ clients: before === undefined ? [] : [before] })
    memory.replaceUnsealed(loaded({ clients: [right] }))
    expect(memory.client('client')).toEqual(expected)
  })

  const resources: readonly (readonly [
    before: string,
    Loaded,
    RegisteredResource | undefined | 'not read',
  ])[] = [
    ['an unsealed resource', { unsealedResources: ['orders'] }, resource('orders', 60)],
    ['a resource that was believed', { resources: [orders] }, orders],
    ['no resource', {}, 'not read'],
  ]
  test.each(resources)('where there was %s', async (_before, before, expected) => {
    const { memory, view } = await openMemory({ clients: [billing], ...before })
    memory.replaceUnsealed(loaded({ resources: [resource('orders', 60)] }))
    const found = view('billing')
    expect(found === undefined ? 'not read' : found.resource).toEqual(expected)
  })
})

describe('a change of', () => {
  const all = ['billing', 'nobody', 'orders', 'trust']
  const cases: readonly (readonly [subject: string, subjectId: string, forgotten: readonly string[]])[] = [
    ['client', 'billing', ['billing', 'orders']],
    ['client', 'nobody', ['nobody']],
    ['client', 'other', []],
    ['resource', 'orders', ['orders', 'trust']],
    ['resource', 'other', ['trust']],
    ['issuer', 'https://issuer.example.com', ['trust']],
    ['workload', 'workload:a', ['trust']],
    ['signing_key', 'kid', []],
    ['client', '*', all],
    ['signing_key', '*', all],
  ]
  test.each(cases)('%s %s makes memory forget: %s', async (subject, subjectId, forgotten) => {
    const { memory, trust, view } = await openMemory({ clients: [billing], resources: [orders] }, [
      'billing',
      'nobody',
    ])
    memory.forget(subject, subjectId)
    const known = {
      billing: memory.client('billing') !== undefined,
      nobody: view('nobody') !== undefined,
      orders: view('billing') !== undefined,
      trust: trust.now !== undefined,
    }
    expect(known).toEqual(Object.fromEntries(all.map((name) => [name, !forgotten.includes(name)])))
  })
})

/** Which head of a sealed registry a process believes, and when what was read counts. */
import { describe, expect, test } from 'vitest'
import type { AdministrationError } from '../../src/errors.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { sealText } from '../../src/keys/sealed-text.ts'
import { toClient } from '../../src/registry/store.ts'
import {
  clientRow,
  guarding,
  idp,
  key,
  SealedRows,
  sealedBlocks,
  sealedClient,
  sealedIssuer,
  sealedResource,
  target,
} from '../support/sealed-rows.ts'

/** A client that has nothing but its id. */
const bare = clientRow('billing')
const otherKey = keyEncryptionKey(Buffer.alloc(32, 2))

/** One client, one resource and one issuer, in the second head of a registry. */
function registry() {
  const client = clientRow('billing', { access: [{ audience: 'urn:a', scopes: ['read'] }] })
  const rows = new SealedRows().register(sealedClient(client))
  const before = rows.seal
  rows.register(sealedResource(target), sealedIssuer(idp), sealedBlocks(['workload:one']))
  rows.clients = [client]
  rows.resources = [target]
  rows.issuers = [idp]
  return { rows, before, client }
}

describe('a head that is not believed', () => {
  const spoiled: readonly [
    code: string,
    what: string,
    spoil: (given: ReturnType<typeof registry>) => void,
  ][] = [
    ['registry_seal_older', 'an older one with its tree', ({ rows, before }) => rows.putBack(before)],
    ['registry_seal_older', 'none', ({ rows }) => rows.putBack({ head: undefined, nodes: rows.nodes })],
    [
      'registry_seal_older',
      'another one with the same number',
      ({ rows, client }) => {
        const fork = new SealedRows().register().register(sealedClient({ ...client, expires_at: 1 }))
        rows.putBack(fork.seal)
      },
    ],
    [
      'registry_seal_damaged',
      'the same text under another MAC',
      ({ rows }) =>
        rows.putBack({
          ...rows.seal,
          head: { ...(rows.head as NonNullable<typeof rows.head>), mac: Buffer.alloc(32) },
        }),
    ],
    [
      'registry_seal_damaged',
      'another text under the same MAC',
      ({ rows }) => {
        const head = rows.head as NonNullable<typeof rows.head>
        rows.putBack({ ...rows.seal, head: { ...head, content: head.content.replace('[1,2', '[1,3') } })
      },
    ],
    [
      'registry_seal_key_differs',
      'one under a key that this process does not have',
      ({ rows, client }) => {
        const stranger = new SealedRows(otherKey).register().register().register(sealedClient(client))
        rows.putBack(stranger.seal)
      },
    ],
  ]
  test.each(spoiled)('says %s, and nothing counts: %s', async (code, _, spoil) => {
    const given = registry()
    const { rows, client } = given
    const { readClients, readTrust, wrong, told } = await guarding(rows)
    const right = rows.seal
    expect((await readClients('billing')).clients).toEqual([toClient(client)])
    spoil(given)
    const { clients, resources, unsealedResources } = await readClients('billing')
    expect(clients).toEqual([{ ...toClient(client), status: 'unsealed' }])
    expect([resources, unsealedResources]).toEqual([[], ['urn:a']])
    rows.blocked = ['workload:by-hand']
    expect(await readTrust()).toEqual({
      issuers: new Map(),
      // What is blocked stays blocked.
      blocked: new Set(['workload:by-hand']),
      resources: new Map(),
    })
    // What is wrong is in the head: no row is blamed for it.
    expect(wrong()).toEqual([`registry : ${code}`])
    expect(told).toEqual(wrong())
    rows.putBack(right)
    expect((await readClients('billing')).clients).toEqual([toClient(client)])
    expect(wrong()).toEqual([])
  })

  test('after one went back, the next change does not make the old rows valid', async () => {
    const { rows, before } = registry()
    const { readClients, wrong } = await guarding(rows)
    rows.putBack(before)
    await readClients('billing')
    rows.register().register().register()
    expect((await readClients('billing')).clients[0]?.status).toBe('unsealed')
    expect(wrong()).toEqual(['registry : registry_seal_older'])
  })

  test('is needed for the tree of its own moment: an earlier tree under it makes no old statement count', async () => {
    const { rows, before, client } = registry()
    rows.register(sealedClient({ ...client, status: 'disabled' }))
    const { readClients, wrong } = await guarding(rows)
    rows.putBack({ head: rows.head, nodes: before.nodes })
    expect((await readClients('billing')).clients).toEqual([{ ...toClient(client), status: 'unsealed' }])
    expect(wrong().toSorted()).toEqual(['client billing: tree_damaged', 'resource urn:a: tree_damaged'])
  })

  test('with a fault that is none of the seal, the read fails', async () => {
    const { rows } = registry()
    const { readClients } = await guarding(rows)
    const right = rows.seal
    rows.putBack({ ...right, head: sealText(key, 'mintmark/registry-seal/v1', 'not JSON') })
    await expect(readClients('billing')).rejects.toThrow(SyntaxError)
    rows.putBack({ ...right, nodes: new Map() })
    expect((await readClients('billing')).clients[0]?.status).toBe('unsealed')
    const failing = rows.reads.clientRows
    Object.assign(rows.reads, {
      clientRows: async (ids: readonly string[]) => ({
        ...(await failing(ids)),
        nodes: {
          get: () => {
            throw new RangeError('a fault')
          },
        },
      }),
    })
    await expect(readClients('billing')).rejects.toThrow(RangeError)
  })
})

describe('a process that starts', () => {
  const code = async (rows: SealedRows) => {
    try {
      await guarding(rows)
      return undefined
    } catch (error) {
      return (error as AdministrationError).code
    }
  }

  test('needs a head as soon as anything is registered', async () => {
    const rows = new SealedRows()
    expect(await code(rows)).toBeUndefined()
    rows.issuers = [idp]
    expect(await code(rows)).toBe('registry_seal_missing')
    rows.register(sealedIssuer(idp))
    expect(await code(rows)).toBeUndefined()
  })

  test('does not start with a head that it cannot open', async () => {
    expect(await code(new SealedRows(otherKey).register())).toBe('registry_seal_key_differs')
  })

  test('without a head believes no row, and believes the first head that comes', async () => {
    const rows = new SealedRows()
    const { readClients, wrong } = await guarding(rows)
    rows.clients = [bare]
    expect((await readClients('billing')).clients[0]?.status).toBe('unsealed')
    expect(wrong()).toEqual(['client billing: unregistered'])
    rows.register(sealedClient(bare))
    expect((await readClients('billing')).clients).toEqual([toClient(bare)])
    expect(wrong()).toEqual([])
  })

  test('never goes back behind the head that it started with', async () => {
    const { rows, before } = registry()
    const { readClients, wrong } = await guarding(rows)
    rows.putBack(before)
    await readClients('billing')
    expect(wrong()).toEqual(['registry : registry_seal_older'])
  })
})

describe('what was read', () => {
  test('is judged when it is believed, and changes nothing before', async () => {
    const { rows, before, client } = registry()
    rows.clients = [{ ...client, expires_at: 1 }, clientRow('stranger')]
    const later = rows.seal
    rows.putBack(before)
    const { guard, readClients, wrong, told } = await guarding(rows)
    rows.putBack(later)
    const read = await guard.read(['billing', 'stranger'])
    const trust = await guard.readTrust()
    expect([read.version, trust.version]).toEqual([rows.version, rows.version])
    expect([wrong(), told]).toEqual([[], []])
    // The head that was only read is not remembered.
    rows.putBack(before)
    await readClients('billing')
    expect(wrong().filter((each) => each.startsWith('registry'))).toEqual([])
    // Believed, it is.
    read.believe()
    expect(wrong()).toContain('client stranger: unregistered')
    await readClients('billing')
    expect(wrong()).toContain('registry : registry_seal_older')
  })

  test('has the version that it was read with', async () => {
    const { rows } = registry()
    const { guard, readClients } = await guarding(rows)
    rows.version = 7
    expect((await guard.read([])).version).toBe(7)
    expect((await guard.readTrust()).version).toBe(7)
    expect((await readClients()).version).toBe(7)
  })

  test('before belongs to another head when the head moved and the version did not', async () => {
    const { rows, before } = registry()
    const { readClients } = await guarding(rows)
    const isOther = async () => (await readClients('billing')).isOtherHead
    expect(await isOther(), 'nothing was read before').toBe(false)
    expect(await isOther()).toBe(false)
    rows.register()
    expect(await isOther(), 'a new head').toBe(true)
    expect(await isOther()).toBe(false)
    rows.register()
    rows.version += 1
    expect(await isOther(), 'a new head and a new version').toBe(false)
    const right = rows.seal
    rows.putBack(before)
    expect(await isOther(), 'not believed').toBe(false)
    expect(await isOther()).toBe(false)
    rows.putBack(right)
    expect(await isOther(), 'believed again').toBe(true)
    expect(await isOther()).toBe(false)
  })

  test('before belongs to no head when there was none yet', async () => {
    const rows = new SealedRows()
    const { readClients } = await guarding(rows)
    expect((await readClients()).isOtherHead).toBe(false)
    rows.register()
    expect((await readClients()).isOtherHead).toBe(true)
  })
})

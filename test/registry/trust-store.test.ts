/** What is made of the one row in which the database gives the whole trust table, with and without its seal. */
import { describe, expect, test } from 'vitest'
import type { Pool } from '../../src/database/open.ts'
import { type IssuerRow, toIssuer } from '../../src/registry/issuer.ts'
import { type ResourceRow, toResource } from '../../src/registry/resource-store.ts'
import { loadSealedTrustRows, loadTrust } from '../../src/registry/trust-store.ts'

const issuer: IssuerRow = {
  issuer: 'https://idp.example.com',
  status: 'active',
  source: 'discovery',
  url: null,
  jwks: null,
  owner: null,
  rules: null,
}
const other: IssuerRow = { ...issuer, issuer: 'https://other.example.com', status: 'disabled' }
const resource: ResourceRow = {
  audience: 'urn:orders',
  scopes: ['orders:read'],
  lifetime: 300,
  algorithm: 'ES256',
  typ: 'at+jwt',
}
const ledger: ResourceRow = { ...resource, audience: 'urn:ledger', lifetime: 60 }

/** A registry in which nothing was registered yet: an aggregate over no rows is null. */
const empty = { version: '5', issuers: null, blocked: null, resources: null, head: null, nodes: null }
const full = {
  ...empty,
  issuers: [issuer, other],
  blocked: ['workload:a', 'workload:b'],
  resources: [resource, ledger],
}

/** A database that answers with these rows, and what it was asked. */
function answering(...rows: readonly object[]) {
  const asked: { name: string; text: string }[] = []
  const query = async (statement: { name: string; text: string }) => {
    asked.push(statement)
    return { rows }
  }
  return { pool: { query } as unknown as Pool, asked }
}

describe('the trust table', () => {
  test('has issuers, blocks and resources by their names, and its version is a number', async () => {
    expect(await loadTrust(answering(full).pool)).toStrictEqual({
      version: 5,
      trust: {
        issuers: new Map([
          [issuer.issuer, toIssuer(issuer)],
          [other.issuer, toIssuer(other)],
        ]),
        blocked: new Set(['workload:a', 'workload:b']),
        resources: new Map([
          ['urn:orders', toResource(resource)],
          ['urn:ledger', toResource(ledger)],
        ]),
      },
    })
  })

  test('is empty where nothing was registered', async () => {
    expect(await loadTrust(answering(empty).pool)).toStrictEqual({
      version: 5,
      trust: { issuers: new Map(), blocked: new Set(), resources: new Map() },
    })
  })
})

describe('the sealed rows', () => {
  const unsealed = { version: 5, issuers: [], blocked: [], resources: [], head: undefined, nodes: new Map() }
  const cases: readonly (readonly [
    what: string,
    row: Partial<Record<keyof typeof empty, unknown>>,
    object,
  ])[] = [
    ['are none where nothing was registered or sealed', {}, {}],
    [
      'are given as they stand',
      full,
      {
        issuers: [issuer, other],
        blocked: ['workload:a', 'workload:b'],
        resources: [resource, ledger],
      },
    ],
    [
      'come with the head, whose MAC is bytes',
      { head: { key: 'kek', content: '{}', mac: '00ff' } },
      { head: { keyEncryptionKeyId: 'kek', content: '{}', mac: Buffer.from([0x00, 0xff]) } },
    ],
    [
      'come with the nodes by where they are, the root too',
      { nodes: { '': 'root', '3': 'child' } },
      {
        nodes: new Map([
          ['', 'root'],
          ['3', 'child'],
        ]),
      },
    ],
  ]
  test.each(cases)('%s', async (_what, row, expected) => {
    const { pool } = answering({ ...empty, ...row })
    expect(await loadSealedTrustRows(pool)).toStrictEqual({ ...unsealed, ...expected })
  })
})

test.each([
  ['the table', loadTrust],
  ['the sealed rows', loadSealedTrustRows],
])('a registry without its version cannot be trusted: %s are not read', async (_what, load) => {
  await expect(load(answering().pool)).rejects.toThrow('the registry has no version row')
})

test('each statement has a name of its own: the database plans it once, and never takes one for the other', async () => {
  const { pool, asked } = answering(full)
  await loadTrust(pool)
  await loadSealedTrustRows(pool)
  const names = asked.map(({ name }) => name)
  expect(names).not.toContain('')
  expect(new Set(names).size).toBe(2)
  expect(new Set(asked.map(({ text }) => text)).size).toBe(2)
})

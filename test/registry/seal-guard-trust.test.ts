/** What a process believes of issuers, rules and blocks in a sealed registry, and what it says about them. */
import { describe, expect, test } from 'vitest'
import { blocksSubject } from '../../src/registry/blocks-statement.ts'
import { type IssuerRow, toIssuer } from '../../src/registry/issuer.ts'
import { toResource } from '../../src/registry/resource-store.ts'
import {
  cluster,
  forClient,
  forWorkloads,
  guarding,
  idp,
  ruleRow,
  SealedRows,
  sealedBlocks,
  sealedIssuer,
  sealedResource,
  target,
} from '../support/sealed-rows.ts'

/** Two issuers, what their rules name, and some blocks, all registered. */
function trusting(blocked: readonly string[] = ['workload:kept', 'workload:deleted']): SealedRows {
  const rows = new SealedRows()
  rows.register(sealedIssuer(idp), sealedIssuer(cluster), sealedResource(target), sealedBlocks(blocked))
  rows.issuers = [idp, cluster]
  rows.resources = [target]
  rows.blocked = blocked
  return rows
}

describe('the trust table', () => {
  test('that is as it was registered counts', async () => {
    const { readTrust, wrong, told } = await guarding(trusting())
    expect(await readTrust()).toEqual({
      issuers: new Map([idp, cluster].map((row) => [row.issuer, toIssuer(row)])),
      blocked: new Set(['workload:kept', 'workload:deleted']),
      resources: new Map([['urn:a', toResource(target)]]),
    })
    expect([wrong(), told]).toEqual([[], []])
  })

  test.each<[string, Partial<IssuerRow>, Partial<IssuerRow> | undefined, readonly string[]]>([
    [
      'a rule is added',
      { rules: [forClient, forWorkloads, ruleRow('all', { client_id: 'root' })] },
      {},
      ['trust_rule all'],
    ],
    [
      'a rule admits more',
      { rules: [forClient, { ...forWorkloads, max_age: 301 }] },
      { rules: [forClient] },
      ['trust_rule for workloads'],
    ],
    ['a rule is gone', { rules: [forClient] }, { rules: [forClient] }, []],
    ['it is disabled', { status: 'disabled' }, { status: 'disabled' }, []],
    ['its keys come from elsewhere', { url: 'https://evil.test/keys' }, undefined, ['keys']],
    ['it has another name', { issuer: 'https://evil.test' }, undefined, ['unregistered']],
  ])('has of an issuer what was registered and still stands: %s', async (_, change, counts, differences) => {
    const rows = trusting()
    const row = { ...idp, ...change }
    rows.issuers = [row, cluster]
    const { readTrust, wrong, told } = await guarding(rows)
    const { issuers } = await readTrust()
    const expected = counts === undefined ? [] : [toIssuer({ ...idp, ...counts })]
    expect([...issuers.values()]).toEqual([...expected, toIssuer(cluster)])
    expect(wrong()).toEqual(
      differences.length === 0 ? [] : [`issuer ${row.issuer}: ${differences.join(', ')}`],
    )
    expect(told).toEqual(wrong())
  })

  test('has no issuer whose statement is spoiled, and keeps the others', async () => {
    const rows = trusting()
    const { readTrust, wrong } = await guarding(rows)
    rows.spoil('issuer', idp.issuer)
    expect([...(await readTrust()).issuers.keys()]).toEqual([cluster.issuer])
    expect(wrong()).toEqual([`issuer ${idp.issuer}: tree_damaged`])
  })

  test('has no resource that nobody registered', async () => {
    const rows = trusting()
    rows.resources = [{ ...target, algorithm: 'RS256' }]
    const { readTrust, wrong } = await guarding(rows)
    expect((await readTrust()).resources).toEqual(new Map())
    expect(wrong()).toEqual(['resource urn:a: signing_algorithm'])
  })

  test('blocks what a row or the statement blocks, and names each row that is missing', async () => {
    const rows = trusting()
    rows.blocked = ['workload:kept', 'workload:by-hand']
    const { readTrust, wrong } = await guarding(rows)
    const { blocked, issuers } = await readTrust()
    expect([...blocked].toSorted()).toEqual(['workload:by-hand', 'workload:deleted', 'workload:kept'])
    expect(issuers.get(idp.issuer), 'other workloads are served').toEqual(toIssuer(idp))
    expect(wrong()).toEqual(['workload workload:deleted: unblocked'])
  })

  test('without a statement of blocks has the rows alone', async () => {
    const rows = new SealedRows().register(sealedIssuer(cluster))
    rows.issuers = [cluster]
    rows.blocked = ['workload:kept']
    const { readTrust, wrong } = await guarding(rows)
    expect((await readTrust()).blocked).toEqual(new Set(['workload:kept']))
    expect(wrong()).toEqual([])
  })

  test('admits no workload when the statement of blocks is spoiled, and still those that stand for a client', async () => {
    const rows = trusting()
    rows.blocked = ['workload:kept']
    rows.spoil(...blocksSubject)
    const { readTrust, wrong } = await guarding(rows)
    const { blocked, issuers } = await readTrust()
    expect(issuers.get(idp.issuer)).toEqual(toIssuer({ ...idp, rules: [forClient] }))
    expect(blocked).toEqual(new Set(['workload:kept']))
    expect(wrong()).toEqual(['workload blocked: tree_damaged'])
  })

  test('is a problem no more when it is right again', async () => {
    const rows = trusting()
    rows.issuers = [{ ...idp, url: 'https://evil.test/keys' }]
    const { readTrust, wrong } = await guarding(rows)
    await readTrust()
    expect(wrong()).toHaveLength(1)
    rows.issuers = [idp]
    await readTrust()
    expect(wrong()).toEqual([])
  })
})

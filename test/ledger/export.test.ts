/** The lines of an export, whatever number of chains and records there is. What is wrong with a copy: verify.test.ts. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type ExportReads, exportLines, Heads } from '../../src/ledger/export.ts'
import type { AuditEntry } from '../../src/ledger/query.ts'
import { recordColumns } from '../../src/ledger/record.ts'
import { recordFields } from '../../src/ledger/record-fields.ts'

type Line = Record<string, unknown>
type Chain = readonly [chain: number, records: number]

const hex = (text: string): string => createHash('sha256').update(text).digest('hex')
const genesisOf = (chain: number): string => `genesis of ${chain}`
const hashOf = (chain: number, seq: number): string =>
  seq === 0 ? genesisOf(chain) : `hash of ${chain} ${seq}`
const entryOf = (chain: number, seq: number): AuditEntry => ({
  time: 1_800_000_000_000 + seq,
  type: 'token',
  outcome: 'issued',
  chain,
  seq,
  hash: hashOf(chain, seq),
  previousHash: hashOf(chain, seq - 1),
})
const beginningOf = (chain: number) => ({
  chain,
  genesis: genesisOf(chain),
  openedAt: `time of ${chain}`,
  openedBy: `service of ${chain}`,
})

/** A ledger that answers as the database does, and counts what it was asked for. */
function ledgerOf(chains: readonly Chain[]) {
  const counts = new Map(chains)
  const asked = { chains: [] as number[], records: [] as number[] }
  const reads: ExportReads = {
    async chainsAfter(after, limit) {
      const found = chains.filter(([chain]) => chain > after).slice(0, limit)
      asked.chains.push(found.length)
      return found.map(([chain]) => beginningOf(chain))
    },
    async recordsAfter(places, limit) {
      const found: AuditEntry[] = []
      for (const { chain, seq: after } of places) {
        const seq = Math.max(after, 0)
        const last = Math.min(counts.get(chain) ?? 0, seq + limit - found.length)
        for (let each = seq + 1; each <= last; each += 1) found.push(entryOf(chain, each))
      }
      asked.records.push(found.length)
      return found
    },
  }
  return { reads, asked }
}

async function exported(chains: readonly Chain[]) {
  const { reads, asked } = ledgerOf(chains)
  const lines: Line[] = []
  for await (const line of exportLines(reads)) lines.push(line)
  return { lines, asked }
}

/** What the guide for auditors says that an export has. */
function expected(chains: readonly Chain[]): Line[] {
  const lines: Line[] = [{ ledger: { form: 1, columns: ['chain', 'seq', ...Object.values(recordColumns)] } }]
  let heads = ''
  for (const [chain, records] of chains) {
    const [genesis, hash] = [genesisOf(chain), hashOf(chain, records)]
    const { openedAt, openedBy } = beginningOf(chain)
    lines.push({ begin: { chain, genesis, opened_at: openedAt, opened_by: openedBy } })
    for (let seq = 1; seq <= records; seq += 1) lines.push(recordFields(entryOf(chain, seq)))
    lines.push({ end: { chain, records, hash } })
    heads = hex(`${heads}${chain} ${genesis} ${records} ${hash}\n`)
  }
  const records = chains.reduce((sum, [, count]) => sum + count, 0)
  lines.push({ ledger_end: { chains: chains.length, records, heads } })
  return lines
}

describe('an export has every chain and every record once, in order:', () => {
  test.for<[what: string, chains: readonly Chain[]]>([
    ['no chain', []],
    ['a chain without a record', [[3, 0]]],
    ['a chain', [[3, 2]]],
    [
      'chains without records before, between and after others',
      [
        [1, 0],
        [2, 0],
        [3, 2],
        [5, 0],
        [6, 0],
        [7, 1],
        [9, 0],
      ],
    ],
    ['more chains than one read', Array.from({ length: 450 }, (_, index) => [index + 1, index % 3] as const)],
    ['as many chains as two reads', Array.from({ length: 400 }, (_, index) => [index * 2 + 1, 1] as const)],
    [
      'a chain of more records than one read',
      [
        [1, 1],
        [2, 4_500],
        [3, 1],
      ],
    ],
    ['a chain of as many records as one read', [[1, 2_000]]],
    [
      'a read that ends with its chain',
      [
        [1, 0],
        [2, 2_000],
        [3, 0],
        [4, 3],
      ],
    ],
    [
      'a read that ends within a chain, after others',
      [
        [1, 1_999],
        [2, 3],
        [3, 2],
      ],
    ],
    [
      'two reads that end with chains',
      [
        [1, 1_000],
        [2, 1_000],
        [3, 2_000],
        [4, 0],
      ],
    ],
  ])('%s', async ([, chains]) => {
    const { lines, asked } = await exported(chains)
    expect(lines).toEqual(expected(chains))
    // Neither is so large that it fills the memory.
    expect(Math.max(...asked.chains)).toBeLessThanOrEqual(200)
    expect(Math.max(0, ...asked.records)).toBeLessThanOrEqual(2_000)
  })
})

test('the heads are over the number, the beginning, the records and the end of each chain, in order', () => {
  const of = (...ends: readonly Parameters<Heads['add']>[0][]) => {
    const heads = new Heads()
    for (const end of ends) heads.add(end)
    return heads.digest()
  }
  const [one, other] = [
    { chain: 1, genesis: 'aa', records: 2, hash: 'bb' },
    { chain: 2, genesis: 'cc', records: 0, hash: 'cc' },
  ]
  expect(of()).toBe('')
  expect(of(one)).toBe(hex('1 aa 2 bb\n'))
  expect(of(one, other)).toBe(hex(`${of(one)}2 cc 0 cc\n`))
  expect(of(other, one)).not.toBe(of(one, other))
})

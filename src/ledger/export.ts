import { hash } from 'node:crypto'
import type { Queryable } from '../database/open.ts'
import type { AuditEntry } from './query.ts'
import { recordColumns } from './record.ts'
import { recordFields } from './record-fields.ts'
import {
  type ChainBeginning,
  findChainBeginnings,
  findRecordsAfter,
  withPreviousHashes,
} from './record-store.ts'

/**
 * The ledger as lines of JSON that can be verified without the database (verify.ts):
 *
 *     {"ledger": {"form": 1, "columns": ["chain", "seq", "time", …]}}
 *     {"begin": {"chain": 7, "genesis": "…", "opened_at": "…", "opened_by": "…"}}
 *     {"time": "…", "type": "service", …, "chain": 7, "seq": 1, "previous_hash": "…", "hash": "…"}
 *     {"end": {"chain": 7, "records": 1, "hash": "…"}}
 *     {"ledger_end": {"chains": 1, "records": 1, "heads": "…"}}
 *
 * Chains come in the order of their numbers, and the records of a chain in the order of theirs.
 */
export const exportForm = 1

/** The columns of the canonical form, in their order. */
export const exportColumns = ['chain', 'seq', ...Object.values(recordColumns)] as const

/** Chains and records have numbers above 0. A hand may have written others, and those are exported too, to be found. */
const beforeAllChains = -(2 ** 31)
const beforeAllRecords = Number.NEGATIVE_INFINITY

const chainsPerRead = 200
const recordsPerRead = 2_000

/** What an export reads of the ledger, in order. */
export interface ExportReads {
  /** The first chains with a higher number. */
  readonly chainsAfter: (chain: number, limit: number) => Promise<readonly ChainBeginning[]>
  /** The records after a place of each chain: all of one chain, then those of the next one. Fewer than the limit: all. */
  readonly recordsAfter: (places: readonly ChainPlace[], limit: number) => Promise<readonly AuditEntry[]>
}

interface ChainPlace {
  readonly chain: number
  readonly seq: number
}

export function exportLedger(database: Queryable): AsyncGenerator<Record<string, unknown>> {
  return exportLines({
    chainsAfter: (chain, limit) => findChainBeginnings(database, chain, limit),
    recordsAfter: async (places, limit) =>
      await withPreviousHashes(database, await findRecordsAfter(database, places, limit)),
  })
}

export async function* exportLines(reads: ExportReads): AsyncGenerator<Record<string, unknown>> {
  yield { ledger: { form: exportForm, columns: exportColumns } }
  const total = { chains: 0, records: 0, heads: new Heads() }
  let after = beforeAllChains
  for (;;) {
    const chains = await reads.chainsAfter(after, chainsPerRead)
    const last = chains.at(-1)
    if (last === undefined) break
    yield* exportChains(reads, chains, total)
    after = last.chain
  }
  yield { ledger_end: { chains: total.chains, records: total.records, heads: total.heads.digest() } }
}

interface Total {
  chains: number
  records: number
  readonly heads: Heads
}

/** Chains that are beside each other are read together, because most have a record or two. */
async function* exportChains(
  reads: ExportReads,
  chains: readonly ChainBeginning[],
  total: Total,
): AsyncGenerator<Record<string, unknown>> {
  let rest = [...chains]
  /** The number of the last record that was read, which is of the first chain in `rest`. */
  let seq = beforeAllRecords
  let lastHash = ''
  let isBegun = false
  const begin = ({ chain, genesis, openedAt, openedBy }: ChainBeginning) => {
    isBegun = true
    lastHash = genesis
    return { begin: { chain, genesis, opened_at: openedAt, opened_by: openedBy } }
  }
  let records = 0
  const end = ({ chain, genesis }: ChainBeginning) => {
    total.chains += 1
    total.records += records
    total.heads.add({ chain, genesis, records, hash: lastHash })
    const line = { end: { chain, records, hash: lastHash } }
    isBegun = false
    records = 0
    return line
  }
  for (;;) {
    const places = rest.map(({ chain }, index) => ({ chain, seq: index === 0 ? seq : beforeAllRecords }))
    const read = await reads.recordsAfter(places, recordsPerRead)
    for (const entry of read) {
      for (let [first] = rest; first !== undefined && first.chain !== entry.chain; [first] = rest) {
        if (!isBegun) yield begin(first)
        yield end(first)
        rest = rest.slice(1)
      }
      if (!isBegun && rest[0] !== undefined) yield begin(rest[0])
      yield recordFields(entry)
      seq = entry.seq
      lastHash = entry.hash
      records += 1
    }
    if (read.length === recordsPerRead) continue
    for (const chain of rest) {
      if (!isBegun) yield begin(chain)
      yield end(chain)
    }
    return
  }
}

/** One hash over the ends of all chains. Kept elsewhere, it shows later whether an export is still the same. */
export class Heads {
  #text = ''

  add(head: { chain: number; genesis: string; records: number; hash: string }): void {
    this.#text = hash('sha256', `${this.#text}${head.chain} ${head.genesis} ${head.records} ${head.hash}\n`)
  }

  digest(): string {
    return this.#text
  }
}

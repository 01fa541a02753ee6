import { canonicalForm, recordHash } from './chain.ts'
import { exportColumns, exportForm, Heads } from './export.ts'
import { type LinkedRecord, readRecordFields } from './record-fields.ts'

/**
 * Verifies a copy of the ledger by itself, without the database: an export (export.ts), or what `--json` of a listing
 * printed. Pure.
 *
 * What it can find: records that were edited, removed, moved or put in between, and an export that was cut off. A hash
 * chain has no key: somebody who computes all hashes again makes a copy that verifies. To find that out, keep the hash
 * over the heads in another place and compare it.
 */
export type VerifyCode =
  /** It is neither a record nor another line of an export. */
  | 'line_unreadable'
  /** The record or its hash was changed: the hash is not the one of these values, or they are not written as a record is. */
  | 'record_altered'
  /** It is not linked to the record before it, or to the beginning of its chain. */
  | 'link_broken'
  /** There is another record with this number. */
  | 'record_twice'
  /** It is not in the place where an export has it. */
  | 'out_of_order'
  /** Records are missing before this one. */
  | 'records_missing'
  /** The chain ends otherwise than the export says. */
  | 'chain_end_differs'
  /** The copy ends before the export did, or has more or fewer chains or records than the export says. */
  | 'export_end_differs'
  /** The heads are not the given ones. */
  | 'heads_differ'

export interface VerifyProblem {
  readonly code: VerifyCode
  /** The number of the line, or of the record in a list. */
  readonly line?: number
  readonly chain?: number
  readonly seq?: number
}

export interface Verified {
  readonly chains: number
  readonly records: number
  /** The hash over the ends of all chains. Undefined if it is not an export. */
  readonly heads: string | undefined
  readonly problems: readonly VerifyProblem[]
}

export interface VerifyOptions {
  /** Some records are missing on purpose: the list was filtered, or limited. */
  readonly isPartial?: boolean
  /** The hash over the heads, as it was when the export was made. */
  readonly heads?: string | undefined
}

interface Link {
  readonly previous: string
  readonly hash: string
  readonly line: number
}

interface Chain {
  readonly number: number
  readonly genesis: string | undefined
  readonly links: Map<number, Link>
  /** The record with the highest number. */
  last: { readonly seq: number; readonly hash: string }
}

const beginChain = (number: number, genesis?: string): Chain => ({
  number,
  genesis,
  links: new Map(),
  last: { seq: 0, hash: genesis ?? '' },
})

type Members = Readonly<Record<string, unknown>>

export class LedgerVerifier {
  readonly #options: VerifyOptions
  readonly #problems: VerifyProblem[] = []
  readonly #heads = new Heads()
  /** Of a list: all chains. Of an export: the one that has begun and not ended. */
  readonly #chains = new Map<number, Chain>()
  #isExport = false
  #hasEnded = false
  #lastChain = 0
  #count = { chains: 0, records: 0 }
  #line = 0

  constructor(options: VerifyOptions = {}) {
    this.#options = options
  }

  /** Takes the next object. A value that is not an object counts as unreadable. */
  take(value: unknown): void {
    this.#line += 1
    const members = isMembers(value) ? value : {}
    if (this.#hasEnded) this.#tell('out_of_order')
    else if (has(members, 'ledger', ['form', 'columns'])) this.#start(members.ledger)
    else if (has(members, 'begin', ['chain', 'genesis', 'opened_at', 'opened_by'])) this.#begin(members.begin)
    else if (has(members, 'end', ['chain', 'records', 'hash'])) this.#end(members.end)
    else if (has(members, 'ledger_end', ['chains', 'records', 'heads'])) this.#endExport(members.ledger_end)
    else {
      const linked = readRecordFields(members)
      if (linked === undefined) this.#tell('line_unreadable')
      else this.#takeRecord(linked, this.#isExport && 'cursor' in members)
    }
  }

  finish(): Verified {
    for (const chain of this.#chains.values()) this.#check(chain)
    const isComplete = this.#hasEnded && this.#chains.size === 0
    if (this.#isExport && !isComplete) this.#tell('export_end_differs')
    const heads = this.#isExport ? this.#heads.digest() : undefined
    if (this.#options.heads !== undefined && this.#options.heads !== heads) this.#tell('heads_differ')
    return { ...this.#count, heads, problems: this.#problems }
  }

  #start({ form, columns = exportColumns }: Members): void {
    if (this.#line !== 1) this.#tell('out_of_order')
    if (form !== exportForm || JSON.stringify(columns) !== JSON.stringify(exportColumns))
      this.#tell('line_unreadable')
    this.#isExport = true
  }

  #begin({ chain, genesis }: Members): void {
    if (typeof chain !== 'number' || typeof genesis !== 'string') {
      this.#tell('line_unreadable')
      return
    }
    const isInOrder = this.#isExport && this.#chains.size === 0 && chain > this.#lastChain
    if (!isInOrder) this.#tell('out_of_order', { chain })
    for (const open of this.#chains.values()) this.#check(open)
    this.#chains.clear()
    this.#lastChain = chain
    this.#count.chains += 1
    this.#chains.set(chain, beginChain(chain, genesis))
  }

  #end({ chain: number, records, hash }: Members): void {
    const chain = typeof number === 'number' ? this.#chains.get(number) : undefined
    if (chain === undefined) {
      this.#tell('out_of_order', { chain: Number(number) })
      return
    }
    this.#check(chain)
    this.#chains.delete(chain.number)
    const { genesis = '', links, last } = chain
    if (records !== links.size || hash !== last.hash) this.#tell('chain_end_differs', { chain: chain.number })
    this.#heads.add({ chain: chain.number, genesis, records: links.size, hash: last.hash })
  }

  #endExport({ chains, records, heads }: Members): void {
    this.#hasEnded = true
    const same = chains === this.#count.chains && records === this.#count.records
    if (!same || heads !== this.#heads.digest()) this.#tell('export_end_differs')
  }

  #takeRecord(linked: LinkedRecord, hasMore: boolean): void {
    const { chain: number, seq, previousHash: previous, hash } = linked
    this.#count.records += 1
    if (hasMore || !isIntact(linked)) this.#tell('record_altered', { chain: number, seq })
    const chain = this.#chains.get(number) ?? this.#beginUnknown(number, seq)
    const known = chain.links.get(seq)
    // A listing that was interrupted shows some records again.
    if (known !== undefined && (this.#isExport || known.hash !== hash || known.previous !== previous)) {
      this.#tell('record_twice', { chain: number, seq })
    }
    if (this.#isExport && seq < chain.last.seq) this.#tell('out_of_order', { chain: number, seq })
    if (seq > chain.last.seq) chain.last = { seq, hash }
    chain.links.set(seq, { previous, hash, line: this.#line })
  }

  /** A list does not say where a chain begins. In an export, a record stands in its chain. */
  #beginUnknown(number: number, seq: number): Chain {
    const chain = beginChain(number)
    if (this.#isExport) {
      this.#tell('out_of_order', { chain: number, seq })
      return chain
    }
    this.#count.chains += 1
    this.#chains.set(number, chain)
    return chain
  }

  #check({ number, genesis, links }: Chain): void {
    let expected = 1
    let before = genesis
    for (const [seq, { previous, hash, line }] of [...links].toSorted(([one], [other]) => one - other)) {
      const isNext = seq === expected
      if (!isNext && this.#options.isPartial !== true) {
        this.#tell('records_missing', { chain: number, seq, line })
      }
      if (isNext && before !== undefined && previous !== before) {
        this.#tell('link_broken', { chain: number, seq, line })
      }
      expected = seq + 1
      before = hash
    }
  }

  #tell(code: VerifyCode, more: Omit<VerifyProblem, 'code'> = {}): void {
    this.#problems.push({ code, line: this.#line, ...more })
  }
}

const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null

/** Whether a line says one thing, and nothing about it that is not known. */
function has<Name extends string>(
  line: Members,
  name: Name,
  known: readonly string[],
): line is Readonly<Record<Name, Members>> {
  const inner = line[name]
  return (
    isMembers(inner) &&
    Object.keys(line).length === 1 &&
    Object.keys(inner).every((member) => known.includes(member))
  )
}

function isIntact({ chain, seq, previousHash, hash, record, isExact }: LinkedRecord): boolean {
  if (!isExact) return false
  const canonical = canonicalForm(chain, seq, record)
  return recordHash(Buffer.from(previousHash, 'hex'), canonical).toString('hex') === hash
}

import type { Database, Queryable } from '../database/open.ts'
import type { TailPlace } from './cursor.ts'
import { type AuditEntry, type AuditFilter, matches } from './query.ts'
import {
  findChainsAfter,
  findLatestChains,
  findRecords,
  findRecordsAfter,
  findUnfinishedChains,
  readTogether,
  withPreviousHashes,
} from './record-store.ts'

/**
 * Follows new records. Records of different chains become visible in any order, and their times do not tell
 * this order. Records of one chain become visible in the order of their numbers. So the tail remembers how
 * far it has read each chain, and it keeps only chains that may still grow.
 */
interface OpenChain {
  seq: number
  /**
   * False for the chain of a registry change. One transaction writes it, so it is complete when it is
   * visible.
   */
  isService: boolean | undefined
}

const rowsPerRead = 2_000

/**
 * How many gaps are remembered. A gap is a chain number that is not visible yet: an open transaction may
 * still commit it.
 */
const gapsMax = 10_000

/** Milliseconds after which a gap counts as rolled back. Longer than any transaction. */
const gapAgeMillisecondsMax = 30 * 60_000

export class LedgerTail {
  readonly #open = new Map<number, OpenChain>()
  readonly #gaps = new Map<number, number>()
  #highest = 0

  /**
   * Finds the end of the ledger and returns the newest records before it. Both come from one snapshot, so no
   * record is missed or reported twice.
   */
  async start(
    database: Database,
    filter: AuditFilter,
    limit: number,
    nowMilliseconds: number,
  ): Promise<AuditEntry[]> {
    return await readTogether(database, async (snapshot) => {
      await this.#findOpenChains(snapshot, nowMilliseconds)
      return limit === 0 ? [] : await findRecords(snapshot, filter, limit, nowMilliseconds)
    })
  }

  /** How far it has read. Between two parts of `read`, every record before this was yielded and none after it. */
  get place(): TailPlace {
    return {
      highest: this.#highest,
      gaps: [...this.#gaps.keys()],
      open: [...this.#open].map(([chain, { seq, isService }]) => [chain, seq, isService ?? null]),
    }
  }

  /**
   * Goes on where another tail stopped, instead of `start`.
   * @returns false if the place is not in this ledger: the ledger does not reach so far.
   */
  async resume(database: Queryable, place: TailPlace, nowMilliseconds: number): Promise<boolean> {
    const latest = await findLatestChains(database)
    if ((latest.at(-1) ?? 0) < place.highest) return false
    this.#highest = place.highest
    for (const gap of place.gaps) this.#gaps.set(gap, nowMilliseconds)
    for (const [chain, seq, isService] of place.open)
      this.#open.set(chain, { seq, isService: isService ?? undefined })
    return true
  }

  /**
   * Yields the matching records written since the last read, in parts of bounded size. Ends when none is
   * left.
   */
  async *read(
    database: Queryable,
    filter: AuditFilter,
    nowMilliseconds: number,
  ): AsyncGenerator<readonly AuditEntry[]> {
    await this.#findNewChains(database, nowMilliseconds)
    for (;;) {
      const places = [...this.#open].map(([chain, { seq }]) => ({ chain, seq }))
      const entries = await withPreviousHashes(
        database,
        await findRecordsAfter(database, places, rowsPerRead),
      )
      this.#advance(entries, entries.length === rowsPerRead)
      const found = entries.filter((entry) => matches(entry, filter))
      found.sort(
        (first, second) => first.time - second.time || first.chain - second.chain || first.seq - second.seq,
      )
      if (found.length > 0) yield found
      if (entries.length < rowsPerRead) return
    }
  }

  async #findOpenChains(snapshot: Queryable, now: number): Promise<void> {
    for (const { chain, seq } of await findUnfinishedChains(snapshot)) {
      // A chain with records that may grow is a service's, even if its first record is deleted.
      this.#open.set(chain, { seq: Number(seq ?? 0), isService: seq === null ? undefined : true })
    }
    const latest = await findLatestChains(snapshot)
    this.#highest = (latest[0] ?? 1) - 1
    this.#noteChains(latest, now)
  }

  async #findNewChains(database: Queryable, now: number): Promise<void> {
    for (const [gap, noticedAt] of this.#gaps) {
      if (now - noticedAt > gapAgeMillisecondsMax) this.#gaps.delete(gap)
    }
    const chains = await findChainsAfter(database, this.#highest, [...this.#gaps.keys()])
    for (const chain of chains) {
      this.#gaps.delete(chain)
      this.#open.set(chain, { seq: 0, isService: undefined })
    }
    this.#noteChains(
      chains.filter((chain) => chain > this.#highest),
      now,
    )
  }

  /** Moves on to the highest of these numbers and remembers the gaps below it. */
  #noteChains(chains: readonly number[], now: number): void {
    for (const chain of chains) {
      for (let gap = Math.max(this.#highest + 1, chain - gapsMax); gap < chain; gap += 1) {
        if (this.#gaps.size < gapsMax) this.#gaps.set(gap, now)
      }
      this.#highest = chain
    }
  }

  #advance(entries: readonly AuditEntry[], more: boolean): void {
    for (const entry of entries) {
      const chain = this.#open.get(entry.chain)
      if (chain === undefined) continue
      chain.seq = entry.seq
      chain.isService ??= entry.type === 'service'
      if (entry.type === 'service' && entry.outcome === 'stopped') this.#open.delete(entry.chain)
    }
    if (more) return
    for (const [number, { seq, isService }] of this.#open) {
      if (isService === false && seq > 0) this.#open.delete(number)
    }
  }
}

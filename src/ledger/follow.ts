import type { Database, Queryable } from '../database/open.ts'
import { type AuditEntry, type AuditFilter, type AuditRow, findRecords, matches, toEntry } from './query.ts'

/**
 * New records as they come. Records of different chains become visible in no particular order, and their
 * times say nothing about it; but within a chain they come one after the other. So what is remembered is how
 * far each chain was read, and of chains only those that may still grow.
 */
interface OpenChain {
  seq: number
  /** A change of the registry writes its chain in one transaction: once seen, it is whole. */
  isService: boolean | undefined
}

const rowsPerRead = 2_000

/** Numbers of chains skipped so far, which a transaction under way may still hold. */
const gapsMax = 10_000

/** Milliseconds until a skipped number is taken for one that was rolled back; longer than any transaction. */
const gapAgeMillisecondsMax = 30 * 60_000

export class LedgerTail {
  readonly #open = new Map<number, OpenChain>()
  readonly #gaps = new Map<number, number>()
  #highest = 0

  /** Where the ledger ends now, and the newest records before that: as of one moment, so none is missed or told twice. */
  async start(
    database: Database,
    filter: AuditFilter,
    limit: number,
    nowMilliseconds: number,
  ): Promise<AuditEntry[]> {
    return await database.prisma.$transaction(
      async (transaction) => {
        await this.#findOpenChains(transaction, nowMilliseconds)
        return limit === 0 ? [] : await findRecords(transaction, filter, limit, nowMilliseconds)
      },
      { isolationLevel: 'RepeatableRead', timeout: 600_000 },
    )
  }

  /** Whatever has been written since, a bounded part at a time; an empty part is the end for now. */
  async *read(
    database: Queryable,
    filter: AuditFilter,
    nowMilliseconds: number,
  ): AsyncGenerator<readonly AuditEntry[]> {
    await this.#findNewChains(database, nowMilliseconds)
    for (;;) {
      const rows = await this.#readOn(database)
      const entries = rows.map(toEntry)
      this.#advance(entries, rows.length === rowsPerRead)
      const found = entries.filter((entry) => matches(entry, filter))
      found.sort(
        (first, second) => first.time - second.time || first.chain - second.chain || first.seq - second.seq,
      )
      if (found.length > 0) yield found
      if (rows.length < rowsPerRead) return
    }
  }

  async #findOpenChains(transaction: Queryable, now: number): Promise<void> {
    const rows = await transaction.$queryRaw<{ chain: number; seq: bigint | null; first: string | null }[]>`
      SELECT c.chain, last.seq, first.type AS first FROM audit_chain c
        LEFT JOIN LATERAL (SELECT seq, type, outcome FROM audit_record r
          WHERE r.chain = c.chain ORDER BY seq DESC LIMIT 1) last ON true
        LEFT JOIN LATERAL (SELECT type FROM audit_record r WHERE r.chain = c.chain AND r.seq = 1) first ON true
       WHERE CASE WHEN last.seq IS NULL THEN c.opened_at > now() - interval '1 day'
             ELSE coalesce(first.type, 'service') = 'service'
              AND (last.type, last.outcome) IS DISTINCT FROM ('service', 'stopped') END`
    for (const { chain, seq, first } of rows) {
      this.#open.set(chain, { seq: Number(seq ?? 0), isService: seq === null ? undefined : first !== null })
    }
    const seen = await transaction.$queryRaw<{ chain: number }[]>`
      SELECT chain FROM audit_chain WHERE chain > (SELECT max(chain) FROM audit_chain) - 1000 ORDER BY chain`
    this.#highest = (seen[0]?.chain ?? 1) - 1
    this.#noteChains(seen, now)
  }

  async #findNewChains(database: Queryable, now: number): Promise<void> {
    for (const [gap, noticedAt] of this.#gaps) {
      if (now - noticedAt > gapAgeMillisecondsMax) this.#gaps.delete(gap)
    }
    const gaps = [...this.#gaps.keys()]
    const rows = await database.$queryRaw<{ chain: number }[]>`
      SELECT chain FROM audit_chain WHERE chain > ${this.#highest}::int OR chain = ANY(${gaps}::int[])
       ORDER BY chain`
    for (const { chain } of rows) {
      this.#gaps.delete(chain)
      this.#open.set(chain, { seq: 0, isService: undefined })
    }
    this.#noteChains(
      rows.filter(({ chain }) => chain > this.#highest),
      now,
    )
  }

  /** Moves on to the highest of these numbers and keeps in mind those between that nobody has seen yet. */
  #noteChains(rows: readonly { chain: number }[], now: number): void {
    for (const { chain } of rows) {
      for (let gap = Math.max(this.#highest + 1, chain - gapsMax); gap < chain; gap += 1) {
        if (this.#gaps.size < gapsMax) this.#gaps.set(gap, now)
      }
      this.#highest = chain
    }
  }

  async #readOn(database: Queryable): Promise<AuditRow[]> {
    const positions = JSON.stringify([...this.#open].map(([chain, { seq }]) => ({ chain, seq })))
    return await database.$queryRaw<AuditRow[]>`
      SELECT r.chain, r.seq, r.time, r.type, r.outcome, r.error, r.reason, r.client_id AS "clientId",
             r.authentication_method AS "authenticationMethod", r.credential_id AS "credentialId", r.audience,
             r.scope, r.jti::text AS jti, r.kid, r.expires_at AS "expiresAt", r.address,
             r.user_agent AS "userAgent", r.request_id AS "requestId", r.count, r.detail, r.hash
        FROM jsonb_to_recordset(${positions}::jsonb) AS p (chain int, seq bigint)
       CROSS JOIN LATERAL (SELECT * FROM audit_record a
             WHERE a.chain = p.chain AND a.seq > p.seq ORDER BY a.seq LIMIT ${rowsPerRead}::int) AS r
       ORDER BY r.chain, r.seq LIMIT ${rowsPerRead}::int`
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

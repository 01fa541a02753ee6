import type { Statements } from '../database/open.ts'
import { repeat } from '../lib/repeated.ts'

/**
 * When workloads got a token, first and last: noted in memory, written in one statement now and then. The first note of a
 * workload is its row. Its identity needs no row: it follows from issuer and subject.
 */
export interface WorkloadUses {
  note(use: WorkloadUse): void
  close(): Promise<void>
}

export interface WorkloadUse {
  readonly workloadId: string
  readonly issuer: string
  readonly subject: string
  readonly rule: string
  /** Milliseconds since 1970. */
  readonly time: number
}

const writeEveryMilliseconds = 30_000

export function openWorkloadUses(database: Statements, onFault: (error: unknown) => void): WorkloadUses {
  /** One entry per workload that got a token in this time. */
  let uses = new Map<string, WorkloadUse & { readonly firstTime: number }>()

  function add(use: WorkloadUse, firstTime = use.time): void {
    const noted = uses.get(use.workloadId)
    const first = Math.min(firstTime, noted?.firstTime ?? firstTime)
    const latest = noted !== undefined && noted.time > use.time ? noted : use
    uses.set(use.workloadId, { ...latest, firstTime: first })
  }

  async function write(): Promise<void> {
    if (uses.size === 0) return
    const written = uses
    uses = new Map()
    // All replicas write in the same order, so that two of them do not wait for each other.
    const rows = [...written.values()].toSorted((one, other) => (one.workloadId < other.workloadId ? -1 : 1))
    const json = JSON.stringify(rows)
    try {
      await database.$executeRaw`
        INSERT INTO workload AS before (workload_id, issuer, subject, rule, first_seen_at, last_used_at)
        SELECT u."workloadId", u.issuer, u.subject, u.rule,
               timestamptz 'epoch' + u."firstTime" * interval '1 millisecond',
               timestamptz 'epoch' + u.time * interval '1 millisecond'
          FROM jsonb_to_recordset(${json}::jsonb)
            AS u ("workloadId" text, issuer text, subject text, rule text, "firstTime" bigint, time bigint)
         ORDER BY u."workloadId"
        ON CONFLICT (workload_id) DO UPDATE
          SET rule = CASE WHEN excluded.last_used_at > before.last_used_at THEN excluded.rule ELSE before.rule END,
              first_seen_at = least(before.first_seen_at, excluded.first_seen_at),
              last_used_at = greatest(before.last_used_at, excluded.last_used_at)`
    } catch (error) {
      for (const use of written.values()) add(use, use.firstTime)
      onFault(error)
    }
  }

  const writes = repeat(writeEveryMilliseconds, write, onFault)
  return {
    note: (use) => add(use),
    async close() {
      await writes.close()
      await write()
    },
  }
}

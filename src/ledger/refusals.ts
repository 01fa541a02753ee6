import { limits } from '../limits.ts'
import type { AuditRecord } from './record.ts'

/**
 * What happens to refusals in a flood. Whoever proved nothing can cause at most `refusalRecordsPerSecondMax`
 * records a second in this process, each durable before its answer. Beyond that, refusals are counted by
 * reason and address, and each group becomes one record with a `count` when the second is over. Refusals
 * that could not be recorded because the database failed are counted here too, until it is back.
 */
interface Group {
  first: AuditRecord
  lastTime: number
  count: number
}

export class RefusalBudget {
  readonly #groups = new Map<string, Group>()
  #second = 0
  #spent = 0

  /** Whether one more refusal may have a record of its own. `now` in whole seconds of any clock. */
  spend(nowSeconds: number): boolean {
    if (nowSeconds !== this.#second) {
      this.#second = nowSeconds
      this.#spent = 0
    }
    this.#spent += 1
    return this.#spent <= limits.refusalRecordsPerSecondMax
  }

  /** Counts a refusal that gets no record of its own. */
  count(record: AuditRecord): void {
    const key = `${record.reason} ${record.address}`
    const fits = this.#groups.has(key) || this.#groups.size < limits.refusalGroupsMax
    // The groups are full: all the rest share one, which still names the number.
    const [groupKey, first] = fits ? [key, record] : ['', anonymous(record)]
    const group = this.#groups.get(groupKey)
    if (group === undefined) {
      this.#groups.set(groupKey, { first, lastTime: lastTimeOf(record), count: record.count ?? 1 })
      return
    }
    // A group that could not be written comes back, and is older than what was counted since.
    if (record.time < group.first.time) group.first = first
    group.lastTime = Math.max(group.lastTime, lastTimeOf(record))
    group.count += record.count ?? 1
  }

  /** Empties the groups into records. A group of one keeps everything that was known of it. */
  drain(): AuditRecord[] {
    const records = [...this.#groups.values()].map(({ first, lastTime, count }) =>
      count === 1 ? first : { ...aggregated(first), count, detail: { last_time: lastTime } },
    )
    this.#groups.clear()
    return records
  }

  get pending(): number {
    return this.#groups.size
  }
}

function lastTimeOf(record: AuditRecord): number {
  const lastTime = record.detail?.['last_time']
  return typeof lastTime === 'number' ? lastTime : record.time
}

/** What the refusals of a group have in common. */
function aggregated(record: AuditRecord): AuditRecord {
  const { time, type, outcome, error, reason, address } = record
  return { time, type, outcome, error, reason, address }
}

function anonymous(record: AuditRecord): AuditRecord {
  const { time, type, outcome } = record
  return { time, type, outcome, reason: 'several', address: undefined }
}

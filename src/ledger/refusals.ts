import { limits } from '../limits.ts'
import type { AuditRecord } from './record.ts'

/**
 * Limits the records of refusals in a flood. Unauthenticated callers can cause at most
 * `refusalRecordsPerSecondMax` records a second in this process. Each of these is durable before its answer.
 * Further refusals are counted by reason and address. Each group becomes one record with a `count` a second
 * later. Refusals that could not be recorded because the database failed are counted here too, until it is
 * back.
 *
 * Refusals of credentials that were right (a secret that was revoked, for example) have a budget and groups of
 * their own, so that guesses of strangers cannot hide them. Their groups keep the names of client and credential.
 */
interface Group {
  first: AuditRecord
  lastTime: number
  count: number
}

class Lane {
  readonly groups = new Map<string, Group>()
  #second = 0
  #spent = 0

  spend(nowSeconds: number): boolean {
    if (nowSeconds !== this.#second) {
      this.#second = nowSeconds
      this.#spent = 0
    }
    this.#spent += 1
    return this.#spent <= limits.refusalRecordsPerSecondMax
  }

  count(key: string, record: AuditRecord): void {
    const fits = this.groups.has(key) || this.groups.size < limits.refusalGroupsMax
    // If there are too many groups, all other refusals share one. Their number is still recorded.
    const [groupKey, first] = fits ? [key, record] : ['', anonymous(record)]
    const group = this.groups.get(groupKey)
    if (group === undefined) {
      this.groups.set(groupKey, { first, lastTime: lastTimeOf(record), count: record.count ?? 1 })
      return
    }
    // A group that could not be written is counted again, and it is older than the refusals counted since
    // then.
    if (record.time < group.first.time) group.first = first
    group.lastTime = Math.max(group.lastTime, lastTimeOf(record))
    group.count += record.count ?? 1
  }

  /** Turns the groups into records and empties them. A group of one refusal keeps its full record. */
  drain(shared: (record: AuditRecord) => AuditRecord): AuditRecord[] {
    const records = [...this.groups.values()].map(({ first, lastTime, count }) =>
      count === 1 ? first : { ...shared(first), count, detail: { last_time: lastTime } },
    )
    this.groups.clear()
    return records
  }
}

export class RefusalBudget {
  readonly #unproven = new Lane()
  readonly #proven = new Lane()
  /** Records of proven credentials that were counted or handed out: one that is counted again stays one of them. */
  readonly #ofProven = new WeakSet<AuditRecord>()

  /**
   * Whether one more refusal may have its own record.
   * @param nowSeconds whole seconds of any clock.
   * @param isProven whether the credentials were right, so that the record names their client.
   */
  spend(nowSeconds: number, isProven = false): boolean {
    return (isProven ? this.#proven : this.#unproven).spend(nowSeconds)
  }

  /** Counts a refusal that does not get its own record. */
  count(record: AuditRecord, isProven = this.#ofProven.has(record)): void {
    const key = `${record.reason} ${record.address}`
    if (isProven) {
      this.#ofProven.add(record)
      this.#proven.count(`${key} ${record.clientId} ${record.credentialId}`, record)
    } else this.#unproven.count(key, record)
  }

  drain(): AuditRecord[] {
    const proven = this.#proven.drain(named)
    for (const record of proven) this.#ofProven.add(record)
    return [...this.#unproven.drain(aggregated), ...proven]
  }

  get pending(): number {
    return this.#unproven.groups.size + this.#proven.groups.size
  }
}

function lastTimeOf(record: AuditRecord): number {
  const lastTime = record.detail?.['last_time']
  return typeof lastTime === 'number' ? lastTime : record.time
}

/** The fields that all refusals of a group share. */
function aggregated(record: AuditRecord): AuditRecord {
  const { time, type, outcome, error, reason, address } = record
  return { time, type, outcome, error, reason, address }
}

/** The fields that all refusals of one right credential share. */
function named(record: AuditRecord): AuditRecord {
  const { clientId, authenticationMethod, credentialId } = record
  return { ...aggregated(record), clientId, authenticationMethod, credentialId }
}

function anonymous(record: AuditRecord): AuditRecord {
  const { time, type, outcome } = record
  return { time, type, outcome, reason: 'several', address: undefined }
}

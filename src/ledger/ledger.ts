import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Database } from '../database/open.ts'
import type { Clock } from '../lib/clock.ts'
import type { OAuthError, RefusalReason } from '../refusals.ts'
import type { LostRecords } from './chain-end.ts'
import { openChain } from './chain-store.ts'
import { type CommitOutcome, Committer } from './commit.ts'
import type { AuditRecord } from './record.ts'
import { RefusalBudget } from './refusals.ts'
import type { OnceOnly } from './spent-identifiers.ts'

/**
 * The ledger of a running service: it makes records durable. The chain of this process starts with a
 * `service started` record and ends with a `service stopped` record. So a reader can tell a complete chain
 * from one whose end was cut off.
 */
export interface Ledger {
  /** Waits for the group commit. `Committer.commit` describes parameters and errors. */
  commit(
    version: number | undefined,
    record: AuditRecord,
    meanwhile?: () => void,
    once?: readonly OnceOnly[],
  ): Promise<CommitOutcome>
  /**
   * Records a refusal. It gets its own record, or it is counted with others when there are too many. A
   * counted refusal can be stale too: its version is checked, so that no client is refused because of an old
   * registry.
   * @param isProven whether the credentials were right. Such a refusal keeps its name in any flood.
   */
  refuse(record: AuditRecord, version?: number, isProven?: boolean): Promise<CommitOutcome>
  /** Counts a refusal whose own record could not be written. */
  count(record: AuditRecord, isProven?: boolean): void
  /** Whether the last commit reached the database. */
  readonly healthy: boolean
  /** Whether the database has lost records that it had acknowledged. */
  readonly hasLost?: boolean
  close(): Promise<void>
}

export interface LedgerOptions {
  readonly database: Database
  readonly clock: Clock
  readonly release: string
  /** The version that the registry is at, read after it was asked. */
  readonly versionNow: () => Promise<number>
  /** The version that the registry in memory is at. */
  readonly versionInMemory: () => number
  /** Called when a commit without a request finds the database at another version. */
  readonly onVersion: (version: number) => Promise<void>
  readonly onFault: (error: unknown) => void
  /** Called when the database no longer has records that it had acknowledged. */
  readonly onLost?: ((loss: LostRecords) => void) | undefined
  /** Called when a record is written again after a fault. */
  readonly onRecovered: () => void
}

const committed: CommitOutcome = { committed: true }

/** Milliseconds after which counted refusals become records, and an idle ledger tries whether it can commit. */
const tickMilliseconds = 1_000

export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { database, clock } = options
  const genesis = randomBytes(32)
  const chain = await openChain(database.statements, genesis, options.release)
  let healthy = true
  let isUsed = true
  const committer = new Committer({
    pool: database.commitPool,
    clock,
    chain,
    genesis,
    onFault(error) {
      healthy = false
      options.onFault(error)
    },
    onLost: options.onLost,
  })
  const budget = new RefusalBudget()

  async function commit(...given: Parameters<Committer['commit']>): Promise<CommitOutcome> {
    isUsed = true
    const outcome = await committer.commit(...given)
    if (!healthy) options.onRecovered()
    healthy = true
    return outcome
  }

  async function writeCounted(): Promise<void> {
    await Promise.all(
      budget.drain().map(async (record) => {
        try {
          await commit(undefined, record)
        } catch {
          budget.count(record)
        }
      }),
    )
  }

  /** For refusals without a record of their own: they do not wait in the same line as requests for tokens. */
  async function isCurrent(version: number): Promise<CommitOutcome> {
    const current = await options.versionNow()
    return current === version ? committed : { committed: false, version: current }
  }

  /**
   * Without requests the process would not notice that the database no longer takes records, or that reads go to
   * another database.
   */
  async function tryIdle(): Promise<void> {
    const wasUsed = isUsed
    const outcome = wasUsed ? committed : await commit(options.versionInMemory(), undefined)
    if (!outcome.committed) await options.onVersion(outcome.version)
    isUsed = false
  }

  await commit(undefined, serviceRecord(clock, 'started', options.release))
  const timer = setInterval(() => {
    void writeCounted()
    tryIdle().catch(() => {})
  }, tickMilliseconds).unref()

  return {
    commit,
    async refuse(record, version, isProven) {
      if (budget.spend(secondOf(clock), isProven)) return await commit(version, record)
      const outcome = version === undefined ? committed : await isCurrent(version)
      if (outcome.committed) budget.count(record, isProven)
      return outcome
    },
    count: (record, isProven) => budget.count(record, isProven),
    get healthy() {
      return healthy
    },
    get hasLost() {
      return committer.hasLost
    },
    async close() {
      clearInterval(timer)
      await committer.idle()
      await writeCounted()
      await commit(undefined, serviceRecord(clock, 'stopped', options.release)).catch(options.onFault)
      await committer.idle()
    },
  }
}

const secondOf = (clock: Clock): number => Math.floor(clock.monotonicMilliseconds() / 1000)

function serviceRecord(clock: Clock, outcome: 'started' | 'stopped', release: string): AuditRecord {
  return {
    time: clock.nowMilliseconds(),
    type: 'service',
    outcome,
    detail: { host: hostname(), process_id: process.pid, release },
  }
}

const countedReasons: ReadonlySet<RefusalReason> = new Set([
  'overloaded',
  'commit_queue_full',
  'ledger_unavailable',
  'registry_unavailable',
])

/**
 * Whether a refusal is only counted. Its own record would need the resource that is missing or overloaded.
 */
export function isOnlyCounted({ reason }: OAuthError): boolean {
  return countedReasons.has(reason)
}

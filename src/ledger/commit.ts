import { PreparedCall } from '../database/call.ts'
import { errorCode } from '../database/faults.ts'
import type { Connection, Pool } from '../database/open.ts'
import { OAuthError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import { type ChainHead, link } from './chain.ts'
import { ledgerCommit, readHead } from './chain-store.ts'
import type { AuditRecord } from './record.ts'

/**
 * The group commit. Everybody who decided something waits here; one call to the database makes all of it
 * durable, provided the registry is still at the version they decided on. While one batch is on its way
 * the next one fills, so a commit's cost is shared by as many as there are.
 */

/** `stale`: nothing was written, because the registry has moved on to `version`. Decide again. */
export type CommitOutcome =
  | { readonly committed: true }
  | { readonly committed: false; readonly version: number }

interface Waiting {
  /** The registry version decided on; undefined for a record that holds whatever the registry says. */
  readonly version: number | undefined
  /** Undefined: only the version is to be checked. */
  readonly record: AuditRecord | undefined
  /** Work that may run while the database writes: signing. */
  readonly meanwhile: (() => void) | undefined
  /** On the monotonic clock, in milliseconds. */
  readonly deadline: number
  readonly resolve: (outcome: CommitOutcome) => void
  readonly reject: (error: unknown) => void
  settled: boolean
}

export interface CommitterOptions {
  readonly pool: Pool
  readonly clock: Clock
  readonly chain: number
  readonly genesis: Buffer
  /** Called with what the database said when a commit failed. */
  readonly onFault: (error: unknown) => void
}

const committed: CommitOutcome = { committed: true }

export class Committer {
  readonly #options: CommitterOptions
  readonly #queue: Waiting[] = []
  #underWay: readonly Waiting[] = []
  /** Undefined when an answer was lost: the database is asked where the chain ends before anything is added. */
  #head: ChainHead | undefined
  #running: Promise<void> | undefined
  /** What the database was asked and has not answered. */
  #call: { readonly sent: PreparedCall; readonly deadline: number } | undefined
  #sweep: NodeJS.Timeout | undefined

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#head = { chain: options.chain, seq: 0, hash: options.genesis }
  }

  /**
   * Waits until the record is durable, or, without one, until the version has proven to be current.
   * `meanwhile` is called once at most, and only if it may matter.
   * @throws OAuthError `commit_queue_full`, or `ledger_unavailable` when the database fails or takes longer
   * than `commitTimeoutMilliseconds`; the record may exist all the same, a token must not.
   */
  commit(
    version: number | undefined,
    record: AuditRecord | undefined,
    meanwhile?: () => void,
  ): Promise<CommitOutcome> {
    if (this.#queue.length >= limits.commitQueueMax)
      return Promise.reject(new OAuthError('commit_queue_full'))
    return new Promise((resolve, reject) => {
      const deadline = this.#deadline()
      this.#queue.push({ version, record, meanwhile, deadline, resolve, reject, settled: false })
      this.#sweep ??= setInterval(() => this.#expire(), 100).unref()
      // Everything that arrived in this turn of the loop joins before the first batch leaves.
      this.#running ??= new Promise<void>((done) => {
        setImmediate(() => this.#run().finally(done))
      })
    })
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, limits.recordsPerCommitMax).filter((waiting) => !waiting.settled)
      this.#underWay = batch
      if (batch.length > 0) await this.#commitDecided(batch)
    }
    this.#underWay = []
    this.#running = undefined
  }

  /**
   * Splits off those who decided on another version than the one who came last: they are stale already. Not
   * the highest version counts but the latest: a restored database may have gone back.
   */
  async #commitDecided(batch: readonly Waiting[]): Promise<void> {
    let version: number | undefined
    for (const waiting of batch) {
      version = waiting.version ?? version
    }
    const current: Waiting[] = []
    for (const waiting of batch) {
      if (waiting.version === undefined || waiting.version === version) current.push(waiting)
      else settle(waiting, { committed: false, version: version as number })
    }
    await this.#commitBatch(current, version)
  }

  async #commitBatch(batch: readonly Waiting[], version: number | undefined, again = true): Promise<void> {
    let client: Connection | undefined
    try {
      client = await this.#options.pool.connect()
      const { chain, genesis } = this.#options
      const head = this.#head ?? (await readHead(client, chain)) ?? { chain, seq: 0, hash: genesis }
      // Unknown until the database has answered.
      this.#head = undefined
      const linked = link(
        head,
        batch.flatMap((waiting) => waiting.record ?? []),
      )
      const call = new PreparedCall(ledgerCommit, [version?.toString() ?? null, linked.json])
      this.#call = { sent: call, deadline: this.#deadline() }
      client.query(call)
      await runMeanwhile(batch)
      const currentVersion = Number(await call.answer)
      this.#call = undefined
      if (version !== undefined && currentVersion !== version) {
        this.#head = head
        this.#answerStale(batch, currentVersion)
      } else {
        this.#head = linked.head
        for (const waiting of batch) settle(waiting, committed)
      }
      client.release()
    } catch (error) {
      this.#call = undefined
      // The connection is in an unknown state; the next batch gets a new one.
      client?.release(true)
      await this.#handleFault(batch, version, error, again)
    }
  }

  /** Those who decided on the old version decide again; the others had no part in it and stay first in line. */
  #answerStale(batch: readonly Waiting[], version: number): void {
    this.#queue.unshift(...batch.filter((waiting) => waiting.version === undefined && !waiting.settled))
    for (const waiting of batch) {
      if (waiting.version !== undefined) settle(waiting, { committed: false, version })
    }
  }

  /**
   * One record that the database will not take must not take its neighbours down: on an error about data
   * the batch is halved until the culprit stands alone. Any other error concerns everybody.
   */
  async #handleFault(batch: readonly Waiting[], version: number | undefined, error: unknown, again: boolean) {
    this.#head = undefined
    const code = errorCode(error)
    const aboutData = /^(22|23|44|54|P0)/.test(code)
    if (code === '23505' && again) return this.#commitBatch(batch, version, false)
    if (aboutData && batch.length > 1) {
      const middle = batch.length >> 1
      await this.#commitBatch(batch.slice(0, middle), version)
      return this.#commitBatch(batch.slice(middle), version)
    }
    this.#options.onFault(error)
    const refusal = new OAuthError('ledger_unavailable', { cause: error })
    for (const waiting of batch) fail(waiting, refusal)
  }

  /** Answers those who have waited for too long, in the queue or behind a database that does not answer. */
  #expire(): void {
    const now = this.#options.clock.monotonicMilliseconds()
    if (this.#queue.length === 0 && this.#running === undefined) {
      clearInterval(this.#sweep)
      this.#sweep = undefined
    }
    for (const waiting of [...this.#underWay, ...this.#queue]) {
      if (waiting.deadline <= now) fail(waiting, new OAuthError('ledger_unavailable'))
    }
    if (this.#call !== undefined && this.#call.deadline <= now) this.#call.sent.giveUp()
  }

  #deadline(): number {
    return this.#options.clock.monotonicMilliseconds() + limits.commitTimeoutMilliseconds
  }
}

function settle(waiting: Waiting, outcome: CommitOutcome): void {
  if (waiting.settled) return
  waiting.settled = true
  waiting.resolve(outcome)
}

function fail(waiting: Waiting, error: unknown): void {
  if (waiting.settled) return
  waiting.settled = true
  waiting.reject(error)
}

/**
 * Signs for everybody in the batch, back to back, which halves a signature's price; in portions, so that
 * the loop keeps breathing. What fails, fails for its own request alone.
 */
async function runMeanwhile(batch: readonly Waiting[]): Promise<void> {
  let inThisTurn = 0
  for (const waiting of batch) {
    if (waiting.meanwhile === undefined || waiting.settled) continue
    try {
      waiting.meanwhile()
    } catch (error) {
      fail(waiting, error)
    }
    inThisTurn += 1
    if (inThisTurn === limits.signaturesPerTurnMax) {
      inThisTurn = 0
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

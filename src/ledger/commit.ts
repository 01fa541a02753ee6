import { PreparedCall } from '../database/call.ts'
import { errorCode } from '../database/faults.ts'
import { isBehind } from '../database/history.ts'
import type { Connection, Pool } from '../database/open.ts'
import { OAuthError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import { type ChainHead, link } from './chain.ts'
import { ledgerCommit, readHead } from './chain-store.ts'
import type { AuditRecord } from './record.ts'

/**
 * The group commit. Every decided request waits here. One call to the database makes a whole batch durable,
 * if the registry is still at the version that the decisions used. The next batch fills while the current
 * one is written, so all waiting requests share the cost of a commit.
 */

/** `committed: false`: nothing was written, because the registry is now at `version`. Decide again. */
export type CommitOutcome =
  | { readonly committed: true }
  | { readonly committed: false; readonly version: number }

interface Waiting {
  /**
   * The registry version that the decision used; undefined for a record that does not depend on the registry.
   */
  readonly version: number | undefined
  /** Undefined: only the version is checked. */
  readonly record: AuditRecord | undefined
  /** Work that runs while the database writes: signing. */
  readonly meanwhile: (() => void) | undefined
  /** Milliseconds on the monotonic clock. */
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
  /** Called with the error of the database when a commit fails. */
  readonly onFault: (error: unknown) => void
}

const committed: CommitOutcome = { committed: true }

export class Committer {
  readonly #options: CommitterOptions
  readonly #queue: Waiting[] = []
  #underWay: readonly Waiting[] = []
  /**
   * Undefined after an answer was lost. The next batch then reads the end of the chain from the database
   * first.
   */
  #head: ChainHead | undefined
  #running: Promise<void> | undefined
  /** The call that the database has not answered yet. */
  #call: { readonly sent: PreparedCall; readonly deadline: number } | undefined
  #sweep: NodeJS.Timeout | undefined

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#head = { chain: options.chain, seq: 0, hash: options.genesis }
  }

  /**
   * Waits until the record is durable. Without a record, waits until the database confirms the version.
   * `meanwhile` is called at most once, and only while the caller still waits.
   * @throws OAuthError `commit_queue_full`, or `ledger_unavailable` when the database fails or takes longer
   * than `commitTimeoutMilliseconds`. The record may exist then, but no token may be returned.
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
      // The first batch starts after this turn of the event loop, so all requests of this turn are in it.
      this.#running ??= new Promise<void>((done) => {
        setImmediate(() => this.#run().finally(done))
      })
    })
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** Resolves when the queue is empty and the last batch has been answered. */
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
   * Compares every decision with the version of the latest one. Decisions on another version are stale
   * already. The latest version counts, not the highest: a database restored from a backup may have gone
   * back.
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
      // The head is unknown until the database has answered.
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
      // The decisions used a later version than this database is at: the connection may have stayed with an old
      // primary. The next batch gets a new one.
      const isOld = version !== undefined && isBehind(currentVersion, version)
      if (version !== undefined && currentVersion !== version) {
        if (!isOld) this.#head = head
        this.#answerStale(batch, currentVersion)
      } else {
        this.#head = linked.head
        for (const waiting of batch) settle(waiting, committed)
      }
      client.release(isOld)
    } catch (error) {
      this.#call = undefined
      // The state of the connection is unknown, so the next batch gets a new one.
      client?.release(true)
      await this.#handleFault(batch, version, error, again)
    }
  }

  /**
   * Requests that decided on the old version decide again. Records without a version are not affected: they
   * go back to the front of the queue.
   */
  #answerStale(batch: readonly Waiting[], version: number): void {
    this.#queue.unshift(...batch.filter((waiting) => waiting.version === undefined && !waiting.settled))
    for (const waiting of batch) {
      if (waiting.version !== undefined) settle(waiting, { committed: false, version })
    }
  }

  /**
   * A record that the database refuses must not fail the other records in its batch. After an error about
   * data the batch is halved until the bad record is alone. Any other error fails the whole batch. After a
   * duplicate key (23505) the batch is tried once more with the head read again: a call whose answer was lost
   * may have written its records in the meantime.
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

  /** Fails requests that have waited too long, in the queue or for the answer of the database. */
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
 * Signs for every request in the batch. Signatures made one after another cost half as much. After every
 * `signaturesPerTurnMax` the event loop gets a turn. A failure affects only its own request.
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

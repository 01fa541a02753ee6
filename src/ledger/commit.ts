/** Long because the queue, a batch and what can become of it are one state. */
import { isUnconfirmed, NoValue, noAnswer, PreparedCall } from '../database/call.ts'
import { errorCode } from '../database/faults.ts'
import { isBehind } from '../database/history.ts'
import type { Connection, Pool } from '../database/open.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'
import { type ChainHead, link } from './chain.ts'
import { ChainEnd, type ChainEndOptions } from './chain-end.ts'
import { ledgerCommit, ledgerCommitOnce } from './chain-store.ts'
import type { AuditRecord } from './record.ts'
import { identifiersJson, identifiersOf, type OnceOnly, SpentIdentifiers } from './spent-identifiers.ts'

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
  /** Work that runs while the database writes: signing. Undefined after it. */
  meanwhile: (() => void) | undefined
  readonly once: readonly OnceOnly[]
  /** Milliseconds on the monotonic clock. */
  readonly deadline: number
  readonly resolve: (outcome: CommitOutcome) => void
  readonly reject: (error: unknown) => void
  settled: boolean
}

export interface CommitterOptions extends ChainEndOptions {
  readonly pool: Pool
  /** Called with the error of the database when a commit fails. */
  readonly onFault: (error: unknown) => void
}

const committed: CommitOutcome = { committed: true }

export class Committer {
  readonly #options: CommitterOptions
  readonly #queue: Waiting[] = []
  #underWay: readonly Waiting[] = []
  readonly #end: ChainEnd
  #running: Promise<void> | undefined
  /** The call that the database has not answered yet. */
  #sent: { readonly call: PreparedCall; readonly deadline: number } | undefined
  #sweep: NodeJS.Timeout | undefined
  readonly #spent = new SpentIdentifiers()

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#end = new ChainEnd(options)
  }

  /**
   * Waits until the record is durable. Without a record, waits until the database confirms the version.
   * `meanwhile` is called at most once, and only while the caller still waits.
   * @throws OAuthError `commit_queue_full`, or `ledger_unavailable` when the database fails or takes longer
   * than `commitTimeoutMilliseconds`. The record may exist then, but no token may be returned. The reason of an identifier
   * in `once` that was used before: then there is no record, and none of them is used up.
   */
  commit(
    version: number | undefined,
    record: AuditRecord | undefined,
    meanwhile?: () => void,
    once: readonly OnceOnly[] = [],
  ): Promise<CommitOutcome> {
    if (this.#queue.length >= limits.commitQueueMax)
      return Promise.reject(new OAuthError('commit_queue_full'))
    return new Promise((resolve, reject) => {
      const deadline = this.#deadline()
      this.#queue.push({ version, record, meanwhile, once, deadline, resolve, reject, settled: false })
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

  /** Whether the database has lost records that it had acknowledged. */
  get hasLost(): boolean {
    return this.#end.hasLost
  }

  /** Resolves when the queue is empty and the last batch has been answered. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#withoutRepeats(
        this.#queue.splice(0, limits.recordsPerCommitMax).filter((waiting) => !waiting.settled),
      )
      this.#underWay = batch
      if (batch.length > 0) await this.#commitDecided(batch)
    }
    this.#underWay = []
    this.#running = undefined
  }

  /**
   * Refuses what is known to be a repeat. Of two requests with one identifier in a batch, the second one waits until it is
   * known whether the first one got its token.
   */
  #withoutRepeats(waiting: readonly Waiting[]): readonly Waiting[] {
    if (waiting.every(({ once }) => once.length === 0)) return waiting
    const { first, later, repeats } = this.#spent.sort(waiting)
    for (const { waiting: repeat, repeated } of repeats) this.#refuseRepeat(repeat, repeated)
    this.#queue.unshift(...later)
    return first
  }

  #refuseRepeat(waiting: Waiting, repeated: OnceOnly): void {
    this.#spent.add(repeated)
    fail(waiting, new OAuthError(repeated.reason))
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
    let repeats: ReadonlyMap<Waiting, OnceOnly> | undefined
    try {
      client = await this.#options.pool.connect()
      const head = await this.#end.take(client)
      const { loss } = this.#end
      const records = batch.flatMap((waiting) => waiting.record ?? [])
      const linked = link(head, loss === undefined ? records : [loss, ...records])
      const spent = identifiersOf(batch)
      const answer = await this.#call(client, batch, version, head, linked.json, identifiersJson(spent))
      const { currentVersion, places } = answer
      // The decisions used a later version than this database is at: the connection may have stayed with an old
      // primary. The next batch gets a new one.
      const isOld = version !== undefined && isBehind(currentVersion, version)
      if (version !== undefined && currentVersion !== version) {
        this.#end.putBack(head)
        this.#answerStale(batch, currentVersion)
      } else if (places !== undefined) {
        // Nothing was written. The others are sent again without those that are refused.
        this.#end.putBack(head)
        repeats = new Map(
          places.split(',').flatMap((place) => {
            const used = spent[Number(place)]
            return used === undefined ? [] : [[used.waiting, used.identifier] as const]
          }),
        )
      } else {
        this.#end.acknowledge(linked.head)
        for (const { identifier } of spent) this.#spent.add(identifier)
        for (const waiting of batch) settle(waiting, committed)
      }
      client.release(isOld)
    } catch (error) {
      this.#sent = undefined
      // The state of the connection is unknown, so the next batch gets a new one.
      client?.release(true)
      await this.#handleFault(batch, version, error, again)
    }
    if (repeats === undefined) return
    for (const [repeat, repeated] of repeats) this.#refuseRepeat(repeat, repeated)
    const others = batch.filter((waiting) => !repeats.has(waiting) && !waiting.settled)
    if (others.length > 0) await this.#commitBatch(others, version)
  }

  /**
   * One call to the database, during which the batch is signed.
   * @returns the version that the registry is at, and the places of identifiers that were used before.
   * @throws if nobody waited for the synchronous standby until the end. The records are in the database then, and a
   * failover may lose them: they do not count as durable, and no token of theirs leaves.
   */
  async #call(
    client: Connection,
    batch: readonly Waiting[],
    version: number | undefined,
    { chain, seq, hash }: ChainHead,
    json: string,
    identifiers: string,
  ): Promise<{ currentVersion: number; places: string | undefined }> {
    let isCancelled = false
    const onNotice = (notice: { routine?: string | undefined; message?: string | undefined }): void => {
      if (isUnconfirmed(notice)) isCancelled = true
    }
    client.on('notice', onNotice)
    try {
      const place = [String(chain), String(seq), hash.toString('hex')]
      const values = [version?.toString() ?? null, json, ...place]
      const call =
        identifiers === '[]'
          ? new PreparedCall(ledgerCommit, values)
          : new PreparedCall(ledgerCommitOnce, [...values, identifiers])
      this.#sent = { call, deadline: this.#deadline() }
      client.query(call)
      await runMeanwhile(batch)
      const [currentVersion, places] = (await call.answer).split(' ')
      this.#sent = undefined
      if (isCancelled)
        throw new Error('the wait for the synchronous standby was cancelled; it has not confirmed')
      return { currentVersion: Number(currentVersion), places }
    } finally {
      client.off('notice', onNotice)
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
   * may have written its records in the meantime. So it is after a call that wrote nothing because the chain does not
   * end where it did.
   */
  async #handleFault(batch: readonly Waiting[], version: number | undefined, error: unknown, again: boolean) {
    const code = errorCode(error)
    const aboutData = /^(22|23|44|54|P0)/.test(code)
    if ((code === '23505' || error instanceof NoValue) && again)
      return this.#commitBatch(batch, version, false)
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
      if (waiting.deadline <= now) fail(waiting, new OAuthError('ledger_unavailable', { cause: noAnswer() }))
    }
    if (this.#sent !== undefined && this.#sent.deadline <= now) this.#sent.call.giveUp()
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
    const { meanwhile } = waiting
    if (meanwhile === undefined || waiting.settled) continue
    waiting.meanwhile = undefined
    try {
      meanwhile()
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

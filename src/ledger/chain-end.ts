import { randomBytes } from 'node:crypto'
import type { Connection } from '../database/open.ts'
import type { Clock } from '../lib/clock.ts'
import { release } from '../release.ts'
import type { ChainHead } from './chain.ts'
import { findChain, openChainOn } from './chain-store.ts'
import type { AuditRecord } from './record.ts'

export interface ChainEndOptions {
  readonly clock: Clock
  readonly chain: number
  readonly genesis: Buffer
  /** Called when the database no longer has a record that it had acknowledged. */
  readonly onLost?: ((loss: LostRecords) => void) | undefined
}

/** Records that were acknowledged, and that the database no longer has. */
export interface LostRecords {
  readonly chain: number
  /** The number of the last record that was acknowledged, and its hash in hex. */
  readonly acknowledged: number
  readonly acknowledgedHash: string
  /** The number of the last record that the chain has; 0 if it has none. It may be a record of another process. */
  readonly found: number
  /** The chain in which this process goes on. */
  readonly newChain: number
}

/**
 * Where the chain of this process goes on. One commit at a time takes the end of the chain, and gives it back or moves it.
 * If the answer to a commit is lost, the end is not given back, and the next commit reads it from the database.
 */
export class ChainEnd {
  readonly #options: ChainEndOptions
  #head: ChainHead | undefined
  /**
   * The last record for which the database answered that it is durable. A failover may lose records without a gap: the
   * process would take their numbers again, and the chain would verify from end to end.
   */
  #acknowledged: ChainHead
  #loss: AuditRecord | undefined
  #hasLost = false

  constructor(options: ChainEndOptions) {
    this.#options = options
    this.#acknowledged = { chain: options.chain, seq: 0, hash: options.genesis }
    this.#head = this.#acknowledged
  }

  /** Whether the database has lost records that it had acknowledged. */
  get hasLost(): boolean {
    return this.#hasLost
  }

  /** Records that records were lost. It must be the first record of the chain that was opened for this. */
  get loss(): AuditRecord | undefined {
    return this.#loss
  }

  /** The end of the chain. It is unknown from here on, until the database has answered. */
  async take(client: Connection): Promise<ChainHead> {
    const head = this.#head ?? (await this.#find(client))
    this.#head = undefined
    return head
  }

  /** Nothing was written. */
  putBack(head: ChainHead): void {
    this.#head = head
  }

  /** Everything up to here is durable, the record of a loss included. */
  acknowledge(head: ChainHead): void {
    this.#head = head
    this.#acknowledged = head
    this.#loss = undefined
  }

  /** At the end of the chain in the database, or in a new chain if acknowledged records are missing. */
  async #find(client: Connection): Promise<ChainHead> {
    const acknowledged = this.#acknowledged
    const { last, holds } = await findChain(client, acknowledged)
    if (holds) return last ?? acknowledged
    const genesis = randomBytes(32)
    // A standby that lags cannot open a new chain, so nothing counts as lost there.
    const chain = await openChainOn(client, genesis, release)
    const lost = {
      chain: acknowledged.chain,
      acknowledged: acknowledged.seq,
      acknowledgedHash: acknowledged.hash.toString('hex'),
      found: last?.seq ?? 0,
    }
    this.#acknowledged = { chain, seq: 0, hash: genesis }
    this.#loss ??= {
      time: this.#options.clock.nowMilliseconds(),
      type: 'service',
      outcome: 'records lost',
      detail: {
        chain: lost.chain,
        acknowledged: lost.acknowledged,
        acknowledged_hash: lost.acknowledgedHash,
        found: lost.found,
        found_hash: last?.hash.toString('hex'),
      },
    }
    this.#hasLost = true
    this.#options.onLost?.({ ...lost, newChain: chain })
    return this.#acknowledged
  }
}

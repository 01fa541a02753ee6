import type { LRUCache } from 'lru-cache'
import { boundedCache } from '../lib/bounded-cache.ts'
import { withDeadline } from '../lib/deadline.ts'
import { parseStrictJson } from '../lib/strict-json.ts'
import { limits } from '../limits.ts'

/**
 * Keys and documents that are fetched from others, and that prove who a caller is. They are kept as a good verifier
 * keeps keys.
 *
 * - The last good one counts. An answer that cannot be used counts as failed, whatever its status, and replaces
 * nothing. A good answer replaces the whole document, so a key that was removed there no longer counts here.
 * - While it cannot be fetched, the last good one counts for a day (`keysKeptSecondsMax`), and no longer.
 *   - One fetch at a time for each address, and a pause between two, whether they succeed or fail. So what any stranger can
 *     send, such as unknown key ids, causes no more fetches than a rotation does.
 * - Addresses that never gave a good answer are remembered apart. So a stranger who invents addresses cannot push out
 * others.
 *   - The monotonic clock: no step of the time of day makes a document fresh again.
 */
export interface FetchedDocument {
  readonly text: string
  /** How long the answer may be kept, if it says so. */
  readonly maxAgeSeconds: number | undefined
}

/**
 * @param bytesMax fewer than usual.
 * @throws an error that has the `status` of the answer, if there was one.
 */
export type FetchDocument = (url: string, bytesMax?: number) => Promise<FetchedDocument>

export interface RemoteDocumentsOptions<Address, Document> {
  readonly nameOf: (address: Address) => string
  /** Fetches and reads. Its errors name no part of an answer. */
  readonly read: (address: Address) => Promise<ReadDocument<Document>>
  readonly monotonicMilliseconds: () => number
  /**
   * Told at the first failure in a row, and when the last good one has ended because of them.
   * @param keptSeconds how long the last good one still counts. Undefined: there is none any more.
   */
  readonly onFailed: (address: string, problem: string, keptSeconds: number | undefined) => void
  readonly onRecovered: (address: string) => void
  /** Whether this is also called for a document that was never good. Not if strangers choose the addresses. */
  readonly tellsOfUnseen: boolean
  /** Told of each good answer. `before` is undefined the first time. */
  readonly onRead: (address: string, before: Document | undefined, after: Document) => void
  /** Whether an error says that there is no such document any more. Then the last good one ends at once. */
  readonly isGone?: (error: unknown) => boolean
  /** Whether an address that never gave a good answer may be fetched now. */
  readonly mayBegin?: (address: Address) => boolean
  readonly rememberedMax: number
  /** Requests that may wait for it at the same time. */
  readonly waitingMax: number
}

export interface ReadDocument<Document> {
  readonly document: Document
  readonly freshSeconds: number | undefined
}

interface Entry<Document> {
  document: Document | undefined
  /** Why the last fetch failed; undefined if it did not. */
  problem: string | undefined
  /** What was told of the failures in a row: that the last good one is kept, or that there is none. */
  told: 'kept' | 'ended' | undefined
  /** Milliseconds on the monotonic clock. */
  fetchedAt: number
  attemptedAt: number
  freshMilliseconds: number
  fetching: Promise<void> | undefined
}

export class RemoteDocuments<Address, Document> {
  readonly #options: RemoteDocumentsOptions<Address, Document>
  readonly #good: LRUCache<string, Entry<Document>>
  readonly #others: LRUCache<string, Entry<Document>>
  #underWay = 0
  #waiting = 0

  constructor(options: RemoteDocumentsOptions<Address, Document>) {
    this.#options = options
    this.#good = boundedCache(options.rememberedMax)
    this.#others = boundedCache(options.rememberedMax)
  }

  /** Told when a request begins to wait for a fetch. */
  whenWaiting: () => void = () => {}

  /** Requests that wait for a fetch. */
  get waiting(): number {
    return this.#waiting
  }

  /** The document in memory. If it is old, another one is fetched meanwhile, and nobody waits for it. */
  now(address: Address): Document | undefined {
    const entry = this.#entryOf(address)
    const age = this.#options.monotonicMilliseconds() - entry.fetchedAt
    if (age > entry.freshMilliseconds) void this.#start(address, entry)
    return age > limits.keysKeptSecondsMax * 1_000 ? undefined : entry.document
  }

  /** The same, but only for an address that gave a good answer before. Other addresses are not fetched. */
  remembered(address: Address): Document | undefined {
    return this.#good.has(this.#options.nameOf(address)) ? this.now(address) : undefined
  }

  /**
   * The document after a fetch, if a fetch is due. For a request that nothing in memory fits. It resolves when a
   * request has waited long enough, and at once if too many wait.
   */
  async renewed(address: Address): Promise<Document | undefined> {
    const entry = this.#entryOf(address)
    const fetching = this.#start(address, entry)
    if (fetching !== undefined && this.#waiting < this.#options.waitingMax) {
      this.#waiting += 1
      this.whenWaiting()
      await withDeadline(fetching, limits.keysWaitMilliseconds, () => new Error('late')).catch(() => {})
      this.#waiting -= 1
    }
    return this.now(address)
  }

  /** Why the last fetch failed. */
  problemOf(address: Address): string | undefined {
    return this.#entryOf(address).problem
  }

  #entryOf(address: Address): Entry<Document> {
    const name = this.#options.nameOf(address)
    const known = this.#good.get(name) ?? this.#others.get(name)
    if (known !== undefined) return known
    const never = Number.NEGATIVE_INFINITY
    const made: Entry<Document> = {
      document: undefined,
      problem: undefined,
      told: undefined,
      fetchedAt: never,
      attemptedAt: never,
      freshMilliseconds: 0,
      fetching: undefined,
    }
    this.#others.set(name, made)
    return made
  }

  /** @returns the fetch under way; undefined if it is not time for one. */
  #start(address: Address, entry: Entry<Document>): Promise<void> | undefined {
    if (entry.fetching !== undefined) return entry.fetching
    const { monotonicMilliseconds, mayBegin } = this.#options
    const now = monotonicMilliseconds()
    const pause = entry.document === undefined ? limits.keysRetrySeconds : limits.keysCooldownSeconds
    if (now - entry.attemptedAt < pause * 1_000 || this.#underWay >= limits.fetchesAtOnceMax) return undefined
    if (entry.document === undefined && mayBegin?.(address) === false) return undefined
    entry.attemptedAt = now
    this.#underWay += 1
    entry.fetching = this.#fetch(address, entry).finally(() => {
      entry.fetching = undefined
      this.#underWay -= 1
    })
    return entry.fetching
  }

  async #fetch(address: Address, entry: Entry<Document>): Promise<void> {
    const { read, monotonicMilliseconds, onFailed, onRecovered, onRead, isGone, tellsOfUnseen } =
      this.#options
    const name = this.#options.nameOf(address)
    try {
      const { document, freshSeconds } = await read(address)
      onRead(name, entry.document, document)
      const { keysFreshSecondsMin: least, keysFreshSecondsMax: most } = limits
      entry.document = document
      entry.fetchedAt = monotonicMilliseconds()
      entry.freshMilliseconds = Math.min(Math.max(freshSeconds ?? most, least), most) * 1_000
      if (entry.told !== undefined) onRecovered(name)
      entry.told = undefined
      entry.problem = undefined
      this.#others.delete(name)
      this.#good.set(name, entry)
    } catch (error) {
      const age = monotonicMilliseconds() - entry.fetchedAt
      const isOver = entry.document === undefined || isGone?.(error) === true
      const isKept = !isOver && age <= limits.keysKeptSecondsMax * 1_000
      const problem = (error as Error).message
      const isNews = entry.told === undefined || (entry.told === 'kept' && !isKept)
      if (isNews && (entry.document !== undefined || tellsOfUnseen)) {
        onFailed(name, problem, isKept ? limits.keysKeptSecondsMax - Math.round(age / 1_000) : undefined)
        entry.told = isKept ? 'kept' : 'ended'
      }
      entry.problem = problem
      if (!isOver) return
      entry.document = undefined
      this.#good.delete(name)
      this.#others.set(name, entry)
    }
  }
}

/** Levels to which a document may nest. */
const depthMax = 16

/** A JSON object that everybody reads alike. @throws Error */
export function readMapping(text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = parseStrictJson(text, depthMax)
  } catch {
    throw new Error('its answer is no JSON that everybody reads alike')
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>
  }
  throw new Error('its answer is no JSON object')
}

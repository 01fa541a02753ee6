import type { ClockGuard } from '../lib/clock-guard.ts'
import { type Repeated, repeat } from '../lib/repeated.ts'
import { algorithmsInUse } from '../registry/store.ts'
import type { KeyChange, RotationContext } from './key-change.ts'
import type { Keyring } from './keyring.ts'
import { restoreKeys } from './restoration.ts'
import { dueAlgorithms, makeDueKeys } from './rotation.ts'
import { checkSeconds } from './schedule.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'

/**
 * Creates signing keys when they are due. It checks at the start of a process and then at regular intervals.
 * It reports problems to the operator while tokens can still be issued.
 */
export interface KeyUpkeepOptions {
  readonly rotation: RotationContext
  readonly keyring: Keyring
  /** The algorithms that always have keys, even if no resource uses them. */
  readonly configured: readonly SigningAlgorithm[]
  readonly clockGuard: Pick<ClockGuard, 'reliable'>
  /**
   * Writes down who fetched the JWK Set from this process until now: a new key may sign at once if nobody did.
   * @throws if it cannot be written. Then no key is created.
   */
  readonly noteFetches: () => Promise<void>
  readonly events: KeyUpkeepEvents
}

/** Events that an operator should know. */
export interface KeyUpkeepEvents {
  /** A key is due or could not be opened, and the check failed. */
  onFailed(error: unknown): void
  onRecovered(): void
  /** Keys were created because they were due. */
  onMade(keys: readonly KeyChange[]): void
  /** The database had lost keys, or changes of keys. They were written back. */
  onRestored(kids: readonly string[]): void
  /** A key is published for longer, because nothing would sign before the next one. */
  onExtended(key: KeyChange): void
  /** Keys that sign cannot carry the longest token, so tokens are shorter; none when all can again. */
  onShortened(keys: readonly ShortenedTokens[]): void
  /** Resources use algorithms that are not configured. Keys are created for these algorithms anyway. */
  onUnlisted(algorithms: readonly SigningAlgorithm[]): void
}

/** The tokens of an algorithm, while the key that signs ends before the longest token would. */
export interface ShortenedTokens {
  readonly algorithm: SigningAlgorithm
  readonly kid: string
  /** Seconds since 1970. No token of the key ends later. */
  readonly tokensEndBy: number
}

export class KeyUpkeep {
  readonly #options: KeyUpkeepOptions
  #algorithms: readonly SigningAlgorithm[]
  #failed = false
  #shortened: readonly ShortenedTokens[] = []
  #checks: Repeated | undefined

  constructor(options: KeyUpkeepOptions) {
    this.#options = options
    this.#algorithms = options.configured
  }

  /** Makes the first check. The service must not start if it fails. */
  async open(): Promise<void> {
    await this.#check()
    const seconds = checkSeconds(this.#options.rotation.schedule)
    this.#checks = repeat(
      seconds * 1_000,
      () => this.#checkAgain(),
      (error) => this.#settle(error),
    )
    this.checkSoon()
  }

  async close(): Promise<void> {
    await this.#checks?.close()
  }

  /** Whether at least one algorithm has a key that signs. Algorithms without one are among the warnings. */
  get signs(): boolean {
    return this.#algorithms.some((algorithm) => this.#signs(algorithm))
  }

  /** Current warnings, by the names of their events in the log. */
  get warnings(): string[] {
    const without = this.#algorithms.filter((algorithm) => !this.#signs(algorithm))
    return [
      ...(this.#failed ? ['key_rotation_failed'] : []),
      ...(this.#options.keyring.incomplete ? ['key_unopened'] : []),
      ...(this.#options.keyring.problems.length > 0 ? ['key_unvouched'] : []),
      ...(this.#findShortened().length > 0 ? ['tokens_shortened'] : []),
      ...without.map((algorithm) => `no_signing_key_${algorithm}`),
    ]
  }

  get #due(): SigningAlgorithm[] {
    const { rotation, keyring } = this.#options
    return dueAlgorithms(keyring.keys, this.#algorithms, rotation.schedule, rotation.clock.nowSeconds())
  }

  #findShortened(): readonly ShortenedTokens[] {
    const { keyring, rotation } = this.#options
    const now = rotation.clock.nowSeconds()
    return this.#algorithms.flatMap((algorithm) => {
      const signer = keyring.signer(algorithm, now)
      if (signer === undefined || signer.tokensEndBy - now >= rotation.schedule.tokenLifetimeSecondsMax)
        return []
      return [{ algorithm, kid: signer.kid, tokensEndBy: signer.tokensEndBy }]
    })
  }

  #tellShortened(): void {
    const found = this.#findShortened()
    const isSame = JSON.stringify(found) === JSON.stringify(this.#shortened)
    this.#shortened = found
    if (!isSame) this.#options.events.onShortened(found)
  }

  #signs(algorithm: SigningAlgorithm): boolean {
    const { keyring, rotation } = this.#options
    return keyring.signer(algorithm, rotation.clock.nowSeconds()) !== undefined
  }

  /**
   * Checks now: a key was revoked without the key-encryption key, so its successor could not take over yet. Or the database
   * has lost keys whose tokens are in use.
   */
  checkSoon(): void {
    const { needsVouching, lost } = this.#options.keyring
    if (needsVouching || lost !== undefined) void this.#checks?.again()
  }

  async #checkAgain(): Promise<void> {
    // If the clock is not reliable, a key may look due when it is not.
    if (!this.#options.clockGuard.reliable) return
    await this.#check()
    this.#settle(undefined)
  }

  #settle(error: unknown): void {
    const { events, keyring } = this.#options
    // A failed check does no harm while no key is due and all keys are open. The registry and the ledger
    // report an unreachable database.
    const matters = this.#due.length > 0 || keyring.incomplete
    if (error !== undefined && matters) events.onFailed(error)
    else if (this.#failed) events.onRecovered()
    this.#failed = error !== undefined && matters
  }

  async #check(): Promise<void> {
    const { rotation, keyring, events } = this.#options
    if (keyring.incomplete) await keyring.load()
    const { lost } = keyring
    if (lost !== undefined) {
      const restored = await restoreKeys(rotation, lost)
      await keyring.load()
      if (restored.length > 0) events.onRestored(restored)
    }
    if (keyring.needsVouching) {
      await makeDueKeys(rotation, [])
      await keyring.load()
    }
    await this.#learnAlgorithms()
    const due = this.#due
    if (due.length > 0) {
      await this.#options.noteFetches()
      const extended: KeyChange[] = []
      const made = await makeDueKeys(rotation, due, (change) => extended.push(change))
      await keyring.load()
      if (made.length > 0) events.onMade(made)
      for (const change of extended) events.onExtended(change)
    }
    this.#tellShortened()
  }

  /**
   * Adds the algorithms of all resources: the tokens of a resource need keys even if the setting lacks them.
   */
  async #learnAlgorithms(): Promise<void> {
    const { rotation, configured, events } = this.#options
    const used = await algorithmsInUse(rotation.database.statements)
    const unlisted = used.filter((algorithm) => !configured.includes(algorithm))
    const news = unlisted.filter((algorithm) => !this.#algorithms.includes(algorithm))
    this.#algorithms = [...configured, ...unlisted]
    if (news.length > 0) events.onUnlisted(news)
  }
}

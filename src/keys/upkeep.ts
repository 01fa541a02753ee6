import { algorithmsInUse } from '../administration/plan-store.ts'
import type { ClockGuard } from '../lib/clock-guard.ts'
import type { Keyring } from './keyring.ts'
import { dueAlgorithms, makeDueKeys, type RotationContext } from './rotation.ts'
import { checkSeconds } from './schedule.ts'
import type { SigningAlgorithm } from './signing-algorithm.ts'

/**
 * What keeps a process in keys: it looks at the start, and then again and again, whether one is due, and says
 * what an operator should know while tokens are still issued.
 */
export interface KeyUpkeepOptions {
  readonly rotation: RotationContext
  readonly keyring: Keyring
  /** The algorithms of which there are keys whether a resource names them or not. */
  readonly configured: readonly SigningAlgorithm[]
  readonly clockGuard: ClockGuard
  readonly events: KeyUpkeepEvents
}

/** What an operator should be told. */
export interface KeyUpkeepEvents {
  /** Keys are due or not open, and could not be looked after. */
  onFailed(error: unknown): void
  onRecovered(): void
  /** Resources use algorithms that are not configured; they have keys all the same. */
  onUnlisted(algorithms: readonly SigningAlgorithm[]): void
}

export class KeyUpkeep {
  readonly #options: KeyUpkeepOptions
  #algorithms: readonly SigningAlgorithm[]
  #failed = false
  #looking: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: KeyUpkeepOptions) {
    this.#options = options
    this.#algorithms = options.configured
  }

  /** The first look, which a start must not go on without. */
  async open(): Promise<void> {
    await this.#look()
    const seconds = checkSeconds(this.#options.rotation.schedule)
    this.#timer = setInterval(() => this.#lookAgain(), seconds * 1_000).unref()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }

  /** Whether something signs; with several algorithms, those that have none are among the warnings. */
  get signs(): boolean {
    return this.#algorithms.some((algorithm) => this.#signs(algorithm))
  }

  /** By the names of their events in the log. */
  get warnings(): string[] {
    const without = this.#algorithms.filter((algorithm) => !this.#signs(algorithm))
    return [
      ...(this.#failed ? ['key_rotation_failed'] : []),
      ...(this.#options.keyring.incomplete ? ['key_unopened'] : []),
      ...without.map((algorithm) => `no_signing_key_${algorithm}`),
    ]
  }

  get #due(): SigningAlgorithm[] {
    const { rotation, keyring } = this.#options
    return dueAlgorithms(keyring.keys, this.#algorithms, rotation.schedule, rotation.clock.nowSeconds())
  }

  #signs(algorithm: SigningAlgorithm): boolean {
    const { keyring, rotation } = this.#options
    return keyring.signer(algorithm, rotation.clock.nowSeconds()) !== undefined
  }

  #lookAgain(): void {
    // While the clock is in doubt, whatever looks due may not be.
    if (this.#looking !== undefined || !this.#options.clockGuard.reliable) return
    this.#looking = this.#look()
      .then(() => this.#settle(undefined))
      .catch((error: unknown) => this.#settle(error))
      .finally(() => {
        this.#looking = undefined
      })
  }

  #settle(error: unknown): void {
    const { events, keyring } = this.#options
    // While nothing is due nothing is missing. That the database is away, registry and ledger say.
    const matters = this.#due.length > 0 || keyring.incomplete
    if (error !== undefined && matters) events.onFailed(error)
    else if (this.#failed) events.onRecovered()
    this.#failed = error !== undefined && matters
  }

  async #look(): Promise<void> {
    const { rotation, keyring } = this.#options
    if (keyring.incomplete) await keyring.load()
    await this.#learnAlgorithms()
    const due = this.#due
    if (due.length === 0) return
    await makeDueKeys(rotation, due)
    await keyring.load()
  }

  /** What a resource is signed with has keys, also where the setting forgot it: its tokens depend on them. */
  async #learnAlgorithms(): Promise<void> {
    const { rotation, configured, events } = this.#options
    const used = await algorithmsInUse(rotation.database.statements)
    const unlisted = used.filter((algorithm) => !configured.includes(algorithm))
    const news = unlisted.filter((algorithm) => !this.#algorithms.includes(algorithm))
    this.#algorithms = [...configured, ...unlisted]
    if (news.length > 0) events.onUnlisted(news)
  }
}

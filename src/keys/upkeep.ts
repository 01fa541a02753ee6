import type { ClockGuard } from '../lib/clock-guard.ts'
import { algorithmsInUse } from '../registry/store.ts'
import { describeError, type Log } from '../telemetry/log.ts'
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
  readonly log: Log
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
    const { log } = this.#options
    // Nothing is missing while nothing is due: that the database is away, others say.
    const matters = this.#due.length > 0 || this.#options.keyring.incomplete
    if (error !== undefined && matters) {
      const message = 'keys could not be looked after; those there are go on for as long as they may'
      log.error({ event: 'key_rotation_failed', error: describeError(error) }, message)
    } else if (this.#failed) log.info({ event: 'key_rotation_recovered' }, 'keys are looked after again')
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
    const { rotation, configured, log } = this.#options
    const used = await algorithmsInUse(rotation.database.statements)
    const unlisted = used.filter((algorithm) => !configured.includes(algorithm))
    const news = unlisted.filter((algorithm) => !this.#algorithms.includes(algorithm))
    this.#algorithms = [...configured, ...unlisted]
    if (news.length === 0) return
    const message =
      `tokens for a resource are signed with ${news.join(' and ')}, which is not among the configured algorithms; ` +
      'there are keys for it as long as that is so'
    log.warn({ event: 'algorithm_unlisted', algorithms: news }, message)
  }
}

import type { TokenAnswer } from './answer.ts'
import { TokenError } from './errors.ts'
import { SharedRequest } from './shared-request.ts'
import type { Time } from './time.ts'
import type { Target } from './token-endpoint.ts'

/** A token and what is known of it. */
export interface Grant {
  readonly accessToken: string
  /** What stands before it in the `Authorization` header. */
  readonly tokenType: 'Bearer' | 'DPoP'
  /** Seconds since 1970. */
  readonly expiresAt: number
  /** The scopes that were granted, if the token service said which. */
  readonly scopes: readonly string[] | undefined
}

export interface TokenCacheOptions {
  readonly request: (target: Target, signal: AbortSignal) => Promise<TokenAnswer>
  readonly time: Time
  /** Tokens that were asked for under another one are not used any more. */
  readonly generation: () => number
  /** Hears of a renewal that failed while the token before it is still used. */
  readonly onRenewalFailed: (error: unknown) => void
}

/** Tokens for so many audiences and scopes are kept. */
const entriesMax = 1_000
/** A token is renewed at a moment between these parts of its life, so that a hundred callers do not come together. */
const renewedFrom = 0.6
const renewedSpread = 0.2
/** A token is not used in its last seconds: it has to arrive, and clocks differ. At most a tenth of its life. */
const marginSeconds = 10
/** After a refusal, or a renewal that failed, nobody asks again for so long. */
const cooldownSeconds = 5
/** A token that is refused so soon is refused for another reason than its age. */
const youngSeconds = 5

interface Held {
  readonly grant: Grant
  /** Of the monotonic clock. */
  readonly issuedAt: number
  readonly renewedAt: number
  readonly usedUntil: number
}

interface Entry {
  held: Held | undefined
  request: SharedRequest<Grant> | undefined
  /** Nobody asks before this moment of the monotonic clock. */
  asksFrom: number
  refusal: TokenError | undefined
}

/** Tokens by what they are for: kept, renewed early, and asked for once however many callers want one. */
export class TokenCache {
  readonly #options: TokenCacheOptions
  readonly #entries = new Map<string, Entry>()

  constructor(options: TokenCacheOptions) {
    this.#options = options
  }

  async grant(target: Target, signal: AbortSignal | undefined): Promise<Grant> {
    signal?.throwIfAborted()
    const entry = this.#entryOf(target)
    const now = this.#options.time.monotonicSeconds()
    const held = this.#usable(entry)
    if (held !== undefined) {
      const isDue = now >= held.renewedAt && now >= entry.asksFrom
      if (isDue && entry.request === undefined) this.#renew(entry, target)
      return held.grant
    }
    if (entry.refusal !== undefined && now < entry.asksFrom) throw entry.refusal
    if (entry.request === undefined || entry.request.isGivenUp) this.#ask(entry, target, false)
    // Asking has set it.
    return await (entry.request as SharedRequest<Grant>).join(signal)
  }

  /** @returns whether another token may be accepted where this one was not. */
  discard(target: Target, grant: Grant): boolean {
    const entry = this.#entryOf(target)
    const { held } = entry
    // Another caller was faster.
    if (held === undefined || held.grant !== grant) return true
    if (this.#options.time.monotonicSeconds() - held.issuedAt < youngSeconds) return false
    entry.held = undefined
    return true
  }

  #entryOf({ audience, scopes }: Target): Entry {
    const key = JSON.stringify([audience, scopes, this.#options.generation()])
    const entry = this.#entries.get(key) ?? {
      held: undefined,
      request: undefined,
      asksFrom: Number.NEGATIVE_INFINITY,
      refusal: undefined,
    }
    // What was used last is last, and what nobody uses goes first.
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) break
      this.#entries.delete(oldest)
    }
    return entry
  }

  /**
   * The token, if both clocks say that it lives. The monotonic one knows nothing of the time that a machine slept, and the
   * other one may have been set back.
   */
  #usable({ held }: Entry): Held | undefined {
    if (held === undefined) return undefined
    const { time } = this.#options
    const isOver = time.monotonicSeconds() >= held.usedUntil || time.nowSeconds() >= held.grant.expiresAt
    return isOver ? undefined : held
  }

  #renew(entry: Entry, target: Target): void {
    const { time, onRenewalFailed } = this.#options
    const request = this.#ask(entry, target, true)
    request.join(undefined).catch((error: unknown) => {
      const seconds =
        error instanceof TokenError ? (error.retryAfterSeconds ?? cooldownSeconds) : cooldownSeconds
      entry.asksFrom = time.monotonicSeconds() + Math.max(seconds, cooldownSeconds) * (1 + time.random())
      onRenewalFailed(error)
    })
  }

  #ask(entry: Entry, target: Target, outlivesCallers: boolean): SharedRequest<Grant> {
    const request = new SharedRequest((signal) => this.#fetchGrant(entry, target, signal), {
      outlivesCallers,
    })
    entry.request = request
    const forget = (): void => {
      if (entry.request === request) entry.request = undefined
    }
    void request.settled.then(forget)
    return request
  }

  async #fetchGrant(entry: Entry, target: Target, signal: AbortSignal): Promise<Grant> {
    const { time, request } = this.#options
    // The life of the token is counted from before it was asked for: it began somewhere in between.
    const [now, askedAt] = [time.nowSeconds(), time.monotonicSeconds()]
    try {
      const { lifetimeSeconds, ...answer } = await request(target, signal)
      const margin = Math.min(marginSeconds, lifetimeSeconds / 10)
      const grant = { ...answer, expiresAt: now + lifetimeSeconds }
      entry.held = {
        grant,
        issuedAt: time.monotonicSeconds(),
        renewedAt: askedAt + lifetimeSeconds * (renewedFrom + renewedSpread * time.random()),
        usedUntil: askedAt + lifetimeSeconds - margin,
      }
      entry.refusal = undefined
      return grant
    } catch (error) {
      if (error instanceof TokenError && !error.isPassing && error.code !== 'credential_unreadable') {
        entry.refusal = error
        entry.asksFrom = time.monotonicSeconds() + cooldownSeconds
      }
      throw error
    }
  }
}

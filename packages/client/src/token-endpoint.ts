import { readJson, readTokenAnswer, type TokenAnswer } from './answer.ts'
import type { Credentials } from './credentials.ts'
import type { DpopProver } from './dpop.ts'
import { TokenError } from './errors.ts'
import type { Time } from './time.ts'

/** What a token is for. */
export interface Target {
  readonly audience: string | undefined
  /** Sorted, each once. Empty: all that are granted. */
  readonly scopes: readonly string[]
}

export interface TokenEndpointOptions {
  readonly issuer: string
  readonly endpoint: (signal: AbortSignal) => Promise<string>
  readonly credentials: Credentials
  readonly dpop: DpopProver | undefined
  readonly fetch: typeof fetch
  readonly time: Time
  /** Seconds for all attempts together. */
  readonly timeoutSeconds: number
}

const attemptsMax = 4
/** The pause before the second attempt. It doubles, and half of it is chance, so that callers do not come together. */
const pauseSeconds = 0.25

/** `POST /token`, again and again where that may help, and not before the service wants to be asked. */
export class TokenEndpoint {
  readonly #options: TokenEndpointOptions
  /** The service does not want to be asked before this moment of the monotonic clock, for whatever token. */
  #restsUntil = Number.NEGATIVE_INFINITY

  constructor(options: TokenEndpointOptions) {
    this.#options = options
  }

  /** @throws TokenError, or the reason of the signal. */
  async request(target: Target, signal: AbortSignal): Promise<TokenAnswer> {
    const { time, timeoutSeconds } = this.#options
    const deadline = time.monotonicSeconds() + timeoutSeconds
    let last: TokenError | undefined
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const pause = attempt === 1 ? 0 : pauseSeconds * 2 ** (attempt - 2) * (0.5 + time.random() / 2)
      const wait = Math.max(pause, this.#restsUntil - time.monotonicSeconds())
      if (time.monotonicSeconds() + wait >= deadline) throw last ?? this.#resting()
      if (wait > 0) await time.sleep(wait, signal)
      // A pause lasts longer on a machine that sleeps, or in a process that is busy.
      if (time.monotonicSeconds() >= deadline) throw last ?? this.#resting()
      try {
        return await this.#attempt(target, signal, deadline - time.monotonicSeconds())
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (!(error instanceof TokenError) || !error.isPassing) throw error
        last = error
        this.#rest(error.retryAfterSeconds ?? 0)
      }
    }
    throw last
  }

  /** As long as the service said, and a little longer: all its clients heard the same. */
  #rest(seconds: number): void {
    const { time } = this.#options
    const until = time.monotonicSeconds() + seconds * (1 + time.random() / 10)
    this.#restsUntil = Math.max(this.#restsUntil, until)
  }

  #resting(): TokenError {
    const retryAfterSeconds = Math.max(1, Math.ceil(this.#restsUntil - this.#options.time.monotonicSeconds()))
    return new TokenError(
      'unavailable',
      `The token service wants to be asked again in ${retryAfterSeconds} seconds.`,
      {
        retryAfterSeconds,
      },
    )
  }

  async #attempt(target: Target, signal: AbortSignal, secondsLeft: number): Promise<TokenAnswer> {
    const { fetch, dpop, time } = this.#options
    const timeout = AbortSignal.timeout(Math.max(0, Math.ceil(secondsLeft * 1000)))
    const both = AbortSignal.any([signal, timeout])
    try {
      const url = await this.#options.endpoint(both)
      const nonce = dpop?.nonceFor(url)
      let response = await fetch(url, this.#init(target, url, both))
      if (dpop?.learn(url, response, nonce) === true && (await wantsNonce(response)))
        response = await fetch(url, this.#init(target, url, both))
      dpop?.learn(url, response, nonce)
      return await readTokenAnswer(response, dpop === undefined ? 'Bearer' : 'DPoP', time.nowSeconds())
    } catch (error) {
      if (error instanceof TokenError) throw error
      if (timeout.aborted) throw new TokenError('timeout', 'The token service does not answer in time.')
      throw new TokenError('unreachable', `The token service cannot be reached: ${reasonOf(error)}.`, {
        cause: error,
      })
    }
  }

  #init(target: Target, url: string, signal: AbortSignal): RequestInit {
    const { credentials, dpop, issuer, time } = this.#options
    // A proof is made for each request: one that counts once is used up, whatever became of the answer.
    const proof = credentials({ issuer, nowSeconds: time.nowSeconds() })
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      ...proof.parameters,
      ...audienceParameter(target.audience),
      ...(target.scopes.length === 0 ? {} : { scope: target.scopes.join(' ') }),
    })
    const headers: Record<string, string> = { accept: 'application/json', ...proof.headers }
    if (dpop !== undefined) headers['dpop'] = dpop.prove('POST', url)
    // Nobody who proves himself follows a redirect.
    return { method: 'POST', headers, body, redirect: 'manual', signal }
  }
}

/** A URI is a resource (RFC 8707 §2). A plain name can only be an audience. */
function audienceParameter(audience: string | undefined): Record<string, string> {
  if (audience === undefined) return {}
  return /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(audience) ? { resource: audience } : { audience }
}

/** RFC 9449 §8: the server names a nonce, and wants the proof once more with it. */
async function wantsNonce(response: Response): Promise<boolean> {
  if (response.status !== 400) return false
  const body = await readJson(response.clone()).catch(() => undefined)
  return body?.['error'] === 'use_dpop_nonce'
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  const { code, message } = first as NodeJS.ErrnoException
  return code ?? message
}

import { parseStrictJson } from './compact.ts'
import { VerifyError } from './errors.ts'
import { type KeySet, readKeySet, type VerificationKey } from './keys.ts'

/** Where keys come from. */
export interface KeySource {
  /** The key with this `kid`; undefined if the caller has to wait for `find`. It never waits. */
  known(kid: string): VerificationKey | undefined
  /**
   * The key with this `kid`, after a fetch if one is due.
   * @throws VerifyError `key_unknown` or `keys_unavailable`.
   */
  find(kid: unknown): Promise<VerificationKey>
}

export interface RemoteKeysOptions {
  readonly url: URL
  /** What the verifier calls itself, so that the token service knows who has the next key. */
  readonly name: string | undefined
  /** The longest time that keys are used after the set was last fetched and its max-age has passed. */
  readonly keptSecondsMax: number
  readonly fetch: typeof fetch
  /** Seconds that only grow, whatever happens to the clock of the machine. */
  readonly monotonicSeconds: () => number
  /** Called when a fetch fails, or the set is not what it should be. Tokens are verified all the same, if keys are kept. */
  readonly onFault: (fault: Error) => void
}

/** A set of Mintmark has a few keys of 200 bytes to 600 bytes each. */
const bodyBytesMax = 256 * 1024
const levelsMax = 8
const fetchMilliseconds = 5_000
/** Between two fetches, whatever came of the first: nobody can make this service fetch more often. */
const cooldownSeconds = 10
/** For how long a set is used if the answer does not say. It is what Mintmark says with its default settings. */
const maxAgeSecondsDefault = 300
const maxAgeSecondsMax = 3_600
/** From this share of max-age on, a set is fetched again while the old one is used, so that nobody waits. */
const earlyShare = 0.8

interface FetchedSet {
  readonly keys: KeySet
  readonly fetchedAt: number
  readonly maxAgeSeconds: number
  /** Seconds after max-age for which it is used while fetches fail (`stale-if-error`, RFC 5861 §4). */
  readonly keptSeconds: number
}

/** The keys that the token service publishes. The last good set stays in use while the service is away. */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  #set: FetchedSet | undefined
  #inFlight: Promise<void> | undefined
  #lastFetchAt = Number.NEGATIVE_INFINITY
  #hasFailed = false

  constructor(options: RemoteKeysOptions) {
    this.#options = options
  }

  known(kid: string): VerificationKey | undefined {
    if (this.#set === undefined) return undefined
    const age = this.#age(this.#set)
    const { maxAgeSeconds, keptSeconds, keys } = this.#set
    if (age >= maxAgeSeconds * earlyShare) this.#fetchSoon()
    if (age < maxAgeSeconds) return keys.get(kid)
    // Whoever comes first after max-age waits for the fetch. While fetches fail, nobody waits for the next one.
    return this.#hasFailed && age < maxAgeSeconds + keptSeconds ? keys.get(kid) : undefined
  }

  async find(kid: unknown): Promise<VerificationKey> {
    if (typeof kid !== 'string')
      throw new VerifyError((await this.#hasKeys()) ? 'key_unknown' : 'keys_unavailable')
    const key = this.known(kid)
    if (key !== undefined) return key
    await this.#fetchNow()
    const found = this.known(kid)
    if (found !== undefined) return found
    if (this.#set !== undefined && this.#age(this.#set) < this.#set.maxAgeSeconds)
      throw new VerifyError('key_unknown')
    // It may be in a set that could not be fetched: that is not the caller’s fault.
    const error = new VerifyError('keys_unavailable')
    error.retryAfterSeconds = Math.max(1, Math.ceil(this.#cooldownLeft()))
    throw error
  }

  async #hasKeys(): Promise<boolean> {
    if (!this.#isUsable()) await this.#fetchNow()
    return this.#isUsable()
  }

  #isUsable(): boolean {
    return this.#set !== undefined && this.#age(this.#set) < this.#set.maxAgeSeconds + this.#set.keptSeconds
  }

  #age({ fetchedAt }: FetchedSet): number {
    return this.#options.monotonicSeconds() - fetchedAt
  }

  #cooldownLeft(): number {
    return cooldownSeconds - (this.#options.monotonicSeconds() - this.#lastFetchAt)
  }

  /** One fetch for all who ask. It fails for nobody: what came of it is in the fields. */
  #fetchNow(): Promise<void> {
    if (this.#inFlight === undefined && this.#cooldownLeft() <= 0) {
      this.#lastFetchAt = this.#options.monotonicSeconds()
      this.#inFlight = this.#fetch().finally(() => {
        this.#inFlight = undefined
      })
    }
    return this.#inFlight ?? Promise.resolve()
  }

  #fetchSoon(): void {
    void this.#fetchNow()
  }

  async #fetch(): Promise<void> {
    try {
      const { keys: fetched, maxAgeSeconds, staleSeconds } = await fetchKeySet(this.#options)
      const keys = withKnownKeys(this.#set?.keys, fetched)
      const keptSeconds = Math.min(staleSeconds ?? Number.POSITIVE_INFINITY, this.#options.keptSecondsMax)
      // From before the fetch: an answer that was long on its way is that old.
      this.#set = { keys, fetchedAt: this.#lastFetchAt, maxAgeSeconds, keptSeconds }
      this.#hasFailed = false
    } catch (cause) {
      this.#hasFailed = true
      this.#options.onFault(new Error(`The keys at ${this.#options.url} could not be fetched.`, { cause }))
    }
  }
}

/** A fixed set, for tests and for services that are given their keys in another way. */
export function fixedKeys(jwks: unknown): KeySource {
  const keys = readKeySet(jwks)
  return {
    known: (kid) => keys?.get(kid),
    async find(kid) {
      if (keys === undefined) throw new VerifyError('keys_unavailable')
      const key = typeof kid === 'string' ? keys.get(kid) : undefined
      if (key === undefined) throw new VerifyError('key_unknown')
      return key
    },
  }
}

async function fetchKeySet({ url, name, fetch }: RemoteKeysOptions) {
  const response = await fetch(url, {
    // Another server would choose the keys.
    redirect: 'error',
    headers: { accept: 'application/json', ...(name !== undefined && { 'mintmark-verifier': name }) },
    signal: AbortSignal.timeout(fetchMilliseconds),
  })
  const body = await readBody(response)
  if (response.status !== 200) throw new Error(`The answer has the status ${response.status}.`)
  const type = response.headers.get('content-type') ?? ''
  if (!/^application\/(?:jwk-set\+)?json\s*(?:;|$)/i.test(type))
    throw new Error(`The answer is no JSON: its type is "${type.slice(0, 80)}".`)
  const keys = readKeySet(parseStrictJson(body, levelsMax))
  if (keys === undefined) throw new Error('The answer has no usable key.')
  const cacheControl = response.headers.get('cache-control') ?? ''
  const maxAgeSeconds = directive(cacheControl, 'max-age') ?? maxAgeSecondsDefault
  // For how long a cache on the way has kept it (RFC 9111 §5.1).
  const [ageSeconds = '0'] = /^\d{1,9}$/.exec(response.headers.get('age') ?? '') ?? []
  return {
    keys,
    // Not shorter than the cooldown: until its end there is nothing newer to be had.
    maxAgeSeconds: Math.max(Math.min(maxAgeSeconds, maxAgeSecondsMax) - Number(ageSeconds), cooldownSeconds),
    staleSeconds: directive(cacheControl, 'stale-if-error'),
  }
}

/** The body as a text, and no byte beyond the bound. */
async function readBody(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop cancels the rest.
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength
    if (length > bodyBytesMax) throw new Error(`The answer is longer than ${bodyBytesMax} bytes.`)
    chunks.push(chunk)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}

/** The seconds of a directive of `Cache-Control`. */
function directive(cacheControl: string, name: string): number | undefined {
  const [, seconds] = new RegExp(`(?:^|,)\\s*${name}=(\\d{1,9})\\s*(?:,|$)`, 'i').exec(cacheControl) ?? []
  return seconds === undefined ? undefined : Number(seconds)
}

/**
 * The fetched set, in which a key that was known before is the same object: remembered tokens are believed for as long as
 * their key is that one (token.ts). A `kid` never gets another key. If it does, somebody else answers, or two services
 * share an address: the set is not taken, and the keys that are known stay.
 * @throws Error
 */
function withKnownKeys(known: KeySet | undefined, fetched: KeySet): KeySet {
  return new Map(
    [...fetched].map(([kid, key]) => {
      const before = known?.get(kid) ?? key
      if (before.material !== key.material || before.algorithm !== key.algorithm)
        throw new Error(`The key "${kid.slice(0, 80)}" is another one than before.`)
      return [kid, before]
    }),
  )
}

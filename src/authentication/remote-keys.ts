import { boundedCache } from '../lib/bounded-cache.ts'
import { withDeadline } from '../lib/deadline.ts'
import { parseStrictJson } from '../lib/strict-json.ts'
import { limits } from '../limits.ts'
import { type ClientKey, readClientKey } from './client-key.ts'
import { readIssuerKey } from './issuer-key.ts'

/**
 * Public keys that are fetched: those of other issuers, and of clients that say where theirs are. Kept as a good verifier
 * keeps them.
 *
 *   - The last good set counts. An answer without a usable key is a failed one, whatever its status, and replaces nothing. A
 *     good one replaces all of it, so a key that was taken out is out.
 *   - While an issuer cannot be reached, its last set counts for a day (`keysKeptSecondsMax`), and not for ever.
 *   - One fetch at a time for each address, and a pause between two, whether they succeed or fail. So unknown key ids, which
 *     any stranger can send, cause no more fetches than a rotation does.
 *   - The monotonic clock: no step of the time of day makes a set fresh again.
 */
export interface FetchedDocument {
  readonly text: string
  /** How long the answer may be kept, if it says so. */
  readonly maxAgeSeconds: number | undefined
}

/** @throws an error that has the `status` of the answer, if there was one. */
export type FetchDocument = (url: string) => Promise<FetchedDocument>

/** Where keys are. */
export type KeyAddress =
  | { readonly kind: 'discovery'; readonly issuer: string }
  | { readonly kind: 'jwks_uri'; readonly url: string }
  | { readonly kind: 'spiffe_bundle'; readonly url: string }
  /** Of a client, whose keys are read as those that are registered. */
  | { readonly kind: 'client_jwks_uri'; readonly url: string }

export interface RemoteKeysOptions {
  readonly fetch: FetchDocument
  readonly monotonicMilliseconds: () => number
  /** Told at the first failure in a row, and when it is over. */
  readonly onFailed: (address: string, problem: string, keptSeconds: number | undefined) => void
  readonly onRecovered: (address: string) => void
  /** Told when a set has another key under a key id that was there before. */
  readonly onReplaced: (address: string, kids: readonly string[]) => void
}

interface KeySet {
  keys: readonly ClientKey[] | undefined
  /** Milliseconds on the monotonic clock. */
  fetchedAt: number
  attemptedAt: number
  freshMilliseconds: number
  fetching: Promise<void> | undefined
  isFailing: boolean
}

export class RemoteKeys {
  readonly #options: RemoteKeysOptions
  readonly #sets = boundedCache<string, KeySet>(limits.keySetsMax)
  #underWay = 0
  #waiting = 0

  constructor(options: RemoteKeysOptions) {
    this.#options = options
  }

  /** The keys in memory. If they are old, others are fetched meanwhile, and nobody waits for it. */
  now(address: KeyAddress): readonly ClientKey[] | undefined {
    const set = this.#setOf(address)
    const age = this.#options.monotonicMilliseconds() - set.fetchedAt
    if (age > set.freshMilliseconds) void this.#start(address, set)
    return age > limits.keysKeptSecondsMax * 1_000 ? undefined : set.keys
  }

  /**
   * The keys after a fetch, if it is time for one: for whoever finds no key that fits. It resolves at the latest when a
   * request has waited long enough, and at once where too many wait.
   */
  async renewed(address: KeyAddress): Promise<readonly ClientKey[] | undefined> {
    const set = this.#setOf(address)
    const fetching = this.#start(address, set)
    if (fetching !== undefined && this.#waiting < limits.keysWaitingMax) {
      this.#waiting += 1
      await withDeadline(fetching, limits.keysWaitMilliseconds, () => new Error('late')).catch(() => {})
      this.#waiting -= 1
    }
    return this.now(address)
  }

  #setOf(address: KeyAddress): KeySet {
    const id = nameOf(address)
    const known = this.#sets.get(id)
    if (known !== undefined) return known
    const never = Number.NEGATIVE_INFINITY
    const made: KeySet = {
      keys: undefined,
      fetchedAt: never,
      attemptedAt: never,
      freshMilliseconds: 0,
      fetching: undefined,
      isFailing: false,
    }
    this.#sets.set(id, made)
    return made
  }

  /** @returns the fetch under way; undefined if it is not time for one. */
  #start(address: KeyAddress, set: KeySet): Promise<void> | undefined {
    if (set.fetching !== undefined) return set.fetching
    const now = this.#options.monotonicMilliseconds()
    const pause = set.keys === undefined ? limits.keysRetrySeconds : limits.keysCooldownSeconds
    if (now - set.attemptedAt < pause * 1_000 || this.#underWay >= limits.fetchesAtOnceMax) return undefined
    set.attemptedAt = now
    this.#underWay += 1
    set.fetching = this.#fetch(address, set).finally(() => {
      set.fetching = undefined
      this.#underWay -= 1
    })
    return set.fetching
  }

  async #fetch(address: KeyAddress, set: KeySet): Promise<void> {
    const { fetch, monotonicMilliseconds, onFailed, onRecovered, onReplaced } = this.#options
    const name = nameOf(address)
    try {
      const { keys, freshSeconds } = await fetchKeys(fetch, address)
      const replaced = replacedKids(set.keys ?? [], keys)
      if (replaced.length > 0) onReplaced(name, replaced)
      const { keysFreshSecondsMin: least, keysFreshSecondsMax: most } = limits
      set.keys = keys
      set.fetchedAt = monotonicMilliseconds()
      set.freshMilliseconds = Math.min(Math.max(freshSeconds ?? most, least), most) * 1_000
      if (set.isFailing) onRecovered(name)
      set.isFailing = false
    } catch (error) {
      const age = monotonicMilliseconds() - set.fetchedAt
      const keptSeconds =
        set.keys === undefined ? undefined : limits.keysKeptSecondsMax - Math.round(age / 1_000)
      if (!set.isFailing) onFailed(name, (error as Error).message, keptSeconds)
      set.isFailing = true
    }
  }
}

function nameOf(address: KeyAddress): string {
  return address.kind === 'discovery' ? `discovery ${address.issuer}` : `${address.kind} ${address.url}`
}

interface FetchedKeys {
  readonly keys: readonly ClientKey[]
  readonly freshSeconds: number | undefined
}

async function fetchKeys(fetch: FetchDocument, address: KeyAddress): Promise<FetchedKeys> {
  const url = address.kind === 'discovery' ? await discover(fetch, address.issuer) : address.url
  const { text, maxAgeSeconds } = await fetch(url)
  const set = readMapping(text)
  const { kind } = address
  const isBundle = kind === 'spiffe_bundle'
  const { keys: listed, spiffe_refresh_hint: hint } = set
  if (!Array.isArray(listed)) throw new Error('its answer is no JWK Set')
  const keys = listed.slice(0, limits.issuerKeysMax).flatMap((jwk: unknown) => {
    // Keys of other kinds and for other uses stand beside ours (RFC 7517 §5).
    const read =
      kind === 'client_jwks_uri' ? readClientKey(jwk) : readIssuerKey(jwk, isBundle ? 'jwt-svid' : 'sig')
    return 'thumbprint' in read ? [read] : []
  })
  if (keys.length === 0) throw new Error('its answer has no key that can be used')
  return { keys, freshSeconds: isBundle && typeof hint === 'number' ? hint : maxAgeSeconds }
}

/** What the issuer says of itself (OpenID Connect Discovery 1.0 §4; RFC 8414 §3). @returns where its keys are. */
async function discover(fetch: FetchDocument, issuer: string): Promise<string> {
  const base = issuer.replace(/\/$/, '')
  const { pathname, origin } = new URL(base)
  const inserted = `${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`
  const { text } = await fetch(`${base}/.well-known/openid-configuration`).catch((error: unknown) => {
    if ((error as { status?: unknown }).status !== 404) throw error
    return fetch(inserted)
  })
  const { issuer: named, jwks_uri: url } = readMapping(text)
  // Otherwise the keys of one issuer would count for another one (RFC 8414 §3.3).
  if (named !== issuer) throw new Error('its metadata is of another issuer')
  if (typeof url !== 'string') throw new Error('its metadata has no jwks_uri')
  return url
}

/** Levels to which a document may nest. */
const depthMax = 16

function readMapping(text: string): Readonly<Record<string, unknown>> {
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

/** The key ids that name another key now. A good issuer never does that. */
function replacedKids(before: readonly ClientKey[], after: readonly ClientKey[]): string[] {
  const known = new Map(before.map(({ kid, thumbprint }) => [kid, thumbprint]))
  return after.flatMap(({ kid, thumbprint }) => {
    const old = kid === undefined ? undefined : known.get(kid)
    return kid === undefined || old === undefined || old === thumbprint ? [] : [kid]
  })
}

import { limits } from '../limits.ts'
import { type ClientKey, readClientKey } from './client-key.ts'
import { readIssuerKey } from './issuer-key.ts'
import { type FetchDocument, type ReadDocument, RemoteDocuments, readMapping } from './remote-documents.ts'

/**
 * Public keys that are fetched: keys of other issuers, and of clients that publish their keys at an address
 * (remote-documents.ts).
 */

/** Where keys are. */
export type KeyAddress =
  | { readonly kind: 'discovery'; readonly issuer: string }
  | { readonly kind: 'jwks_uri'; readonly url: string }
  | { readonly kind: 'spiffe_bundle'; readonly url: string }
  /** For a client: its keys are read in the same way as registered keys. */
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

export class RemoteKeys {
  readonly #documents: RemoteDocuments<KeyAddress, readonly ClientKey[]>

  constructor({ fetch, monotonicMilliseconds, onFailed, onRecovered, onReplaced }: RemoteKeysOptions) {
    this.#documents = new RemoteDocuments({
      nameOf,
      read: (address) => fetchKeys(fetch, address),
      monotonicMilliseconds,
      onFailed,
      onRecovered,
      tellsOfUnseen: true,
      onRead(name, before = [], after) {
        const replaced = replacedKids(before, after)
        if (replaced.length > 0) onReplaced(name, replaced)
      },
      rememberedMax: limits.keySetsMax,
      waitingMax: limits.keysWaitingMax,
    })
  }

  /** Told when a request begins to wait for a fetch. */
  set whenWaiting(told: () => void) {
    this.#documents.whenWaiting = told
  }

  /** Requests that wait for a fetch. */
  get waiting(): number {
    return this.#documents.waiting
  }

  /** The keys in memory. If they are old, others are fetched meanwhile, and nobody waits for it. */
  now(address: KeyAddress): readonly ClientKey[] | undefined {
    return this.#documents.now(address)
  }

  /** The keys after a fetch, if a fetch is due. For an assertion that no key in memory fits. */
  renewed(address: KeyAddress): Promise<readonly ClientKey[] | undefined> {
    return this.#documents.renewed(address)
  }
}

function nameOf(address: KeyAddress): string {
  return address.kind === 'discovery' ? `discovery ${address.issuer}` : `${address.kind} ${address.url}`
}

async function fetchKeys(
  fetch: FetchDocument,
  address: KeyAddress,
): Promise<ReadDocument<readonly ClientKey[]>> {
  const url = address.kind === 'discovery' ? await discover(fetch, address.issuer) : address.url
  const { text, maxAgeSeconds } = await fetch(url)
  const set = readMapping(text)
  const { kind } = address
  const isBundle = kind === 'spiffe_bundle'
  const { keys: listed, spiffe_refresh_hint: hint } = set
  if (!Array.isArray(listed)) throw new Error('its answer is no JWK Set')
  const keys = listed.slice(0, limits.issuerKeysMax).flatMap((jwk: unknown) => {
    // A set may also have keys of other kinds and for other uses (RFC 7517 §5).
    const read =
      kind === 'client_jwks_uri' ? readClientKey(jwk) : readIssuerKey(jwk, isBundle ? 'jwt-svid' : 'sig')
    return 'thumbprint' in read ? [read] : []
  })
  if (keys.length === 0) throw new Error('its answer has no key that can be used')
  return { document: keys, freshSeconds: isBundle && typeof hint === 'number' ? hint : maxAgeSeconds }
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

/** The key ids that name another key now. A good issuer never does that. */
function replacedKids(before: readonly ClientKey[], after: readonly ClientKey[]): string[] {
  const known = new Map(before.map(({ kid, thumbprint }) => [kid, thumbprint]))
  return after.flatMap(({ kid, thumbprint }) => {
    const old = known.get(kid)
    return kid === undefined || old === undefined || old === thumbprint ? [] : [kid]
  })
}

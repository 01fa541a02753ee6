import { readJson } from './answer.ts'
import { challengeParameter } from './challenge.ts'
import { TokenError } from './errors.ts'
import { isSafeUrl } from './metadata.ts'
import type { Time } from './time.ts'

/**
 * Finds out from a refusal which token a service wants (RFC 9728 §5): for which audience, and with which scopes. What it
 * learns never decides who gets the credential of the client: that stays with the issuer of the token source.
 */

/** Seconds after which a service is asked again what it is. */
const keptSeconds = 3_600
const resourcesMax = 100

/** What a service wants. */
export interface KnownResource {
  /** Origin and path that its URLs begin with. */
  readonly begins: string
  readonly metadataUrl: string
  readonly audience: string
  /** Empty: all that are granted. */
  readonly scopes: readonly string[]
  /** Of the monotonic clock. */
  readonly until: number
}

export interface DiscoveryOptions {
  readonly issuer: string
  /** Audiences that are at another origin than their service, or no URL. */
  readonly audiences: readonly string[]
  readonly fetch: typeof fetch
  readonly time: Time
  readonly dangerouslyAllowHttp: boolean
}

export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #known = new Map<string, KnownResource>()

  constructor(options: DiscoveryOptions) {
    this.#options = options
  }

  /** The resource that a URL belongs to, if it is known: the one with the longest path. */
  resourceOf(url: string): KnownResource | undefined {
    const now = this.#options.time.monotonicSeconds()
    return [...this.#known.values()]
      .filter(({ begins, until }) => now < until && isWithin(url, begins))
      .sort((one, other) => other.begins.length - one.begins.length)[0]
  }

  /**
   * @param sent for which token the request was refused; undefined: it had none.
   * @returns undefined if the answer says nothing new, so that there is no use in another request.
   * @throws TokenError if what it leads to is not believed.
   */
  async learn(
    url: string,
    response: Response,
    sent: KnownResource | undefined,
    signal: AbortSignal,
  ): Promise<KnownResource | undefined> {
    const asked = wordsOf(challengeParameter(response, 'scope'))
    if (response.status === 403) {
      // RFC 6750 §3.1: the token lacks a scope.
      const isAsked = challengeParameter(response, 'error') === 'insufficient_scope' && asked.length > 0
      const lacks = isAsked && sent !== undefined && asked.some((scope) => !sent.scopes.includes(scope))
      return lacks && sent.scopes.length > 0
        ? this.#keep({ ...sent, scopes: union(sent.scopes, asked) })
        : undefined
    }
    const metadataUrl = challengeParameter(response, 'resource_metadata')
    if (response.status !== 401 || metadataUrl === undefined || metadataUrl === sent?.metadataUrl)
      return undefined
    const { audience, begins } = await this.#resourceAt(metadataUrl, url, signal)
    const until = this.#options.time.monotonicSeconds() + keptSeconds
    return this.#keep({ begins, metadataUrl, audience, scopes: asked, until })
  }

  #keep(resource: KnownResource): KnownResource {
    this.#known.delete(resource.begins)
    this.#known.set(resource.begins, resource)
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= resourcesMax) break
      this.#known.delete(oldest)
    }
    return resource
  }

  async #resourceAt(metadataUrl: string, url: string, signal: AbortSignal) {
    const { issuer, audiences, dangerouslyAllowHttp } = this.#options
    const { origin } = new URL(url)
    // A service speaks for itself. One that names the document of another one wants the other one's token.
    if (!isSafeUrl(metadataUrl, dangerouslyAllowHttp) || new URL(metadataUrl).origin !== origin)
      throw distrusted(`${origin} names ${shown(metadataUrl)}, which is at another origin`)
    const document = await this.#read(metadataUrl, signal)
    const { resource, authorization_servers: servers } = document
    if (!Array.isArray(servers) || !servers.includes(issuer))
      throw distrusted(`${shown(metadataUrl)} does not name ${issuer} as an authorization server`)
    if (typeof resource !== 'string') throw distrusted(`${shown(metadataUrl)} names no resource`)
    if (audiences.includes(resource)) return { audience: resource, begins: `${origin}/` }
    // RFC 9728 §3.3: otherwise any service could have tokens for another one sent to itself.
    if (!isSafeUrl(resource, dangerouslyAllowHttp) || !isWithin(url, resource))
      throw distrusted(`${shown(metadataUrl)} is for ${shown(resource)}, and not for ${origin}`)
    return { audience: resource, begins: resource }
  }

  async #read(metadataUrl: string, signal: AbortSignal): Promise<Record<string, unknown>> {
    let response: Response
    try {
      response = await this.#options.fetch(metadataUrl, {
        headers: { accept: 'application/json' },
        redirect: 'manual',
        signal,
      })
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw new TokenError('unreachable', `${shown(metadataUrl)} cannot be reached.`, { cause: error })
    }
    const { status } = response
    const document = await readJson(response)
    if (status !== 200 || document === undefined)
      throw new TokenError('metadata_invalid', `${shown(metadataUrl)} has no metadata of a resource.`, {
        status,
      })
    return document
  }
}

/** Whether a URL is a resource, or below it. */
function isWithin(url: string, resource: string): boolean {
  const [one, other] = [new URL(url), new URL(resource)]
  if (one.origin !== other.origin || other.search !== '' || other.hash !== '') return false
  const path = other.pathname.endsWith('/') ? other.pathname : `${other.pathname}/`
  return `${one.pathname}/`.startsWith(path)
}

const union = (one: readonly string[], other: readonly string[]): string[] => [...new Set([...one, ...other])]

/** RFC 6749 §3.3. What is no scope is not asked for. */
const wordsOf = (text = ''): string[] =>
  text.split(' ').filter((word) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(word))

/** Texts of a stranger, for messages. */
const shown = (text: string): string => text.slice(0, 300).replace(/[^\x21-\x7e]/g, '?')

const distrusted = (what: string): TokenError =>
  new TokenError('metadata_invalid', `${what}. No token is asked for.`)

export interface DiscoveringFetch {
  readonly discovery: Discovery
  readonly origins: ReadonlySet<string>
  readonly fetch: typeof fetch
  /** A `fetch` with tokens for a resource. */
  readonly fetchFor: (resource: KnownResource, origin: string) => typeof fetch
}

/** A `fetch` that sends the first request without a token, and learns from its refusal which one is wanted. */
export function fetchWithDiscovery({ discovery, origins, fetch, fetchFor }: DiscoveringFetch): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init)
    const { url, method, headers, signal } = request
    const { origin } = new URL(url)
    if (!origins.has(origin))
      throw new TypeError(`Tokens are not sent to ${origin}. "origins" says where they may be sent.`)
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer())
    const redirect = request.redirect === 'error' ? 'error' : 'manual'
    const sent = { method, headers, redirect, signal, ...(body === undefined ? {} : { body }) } as const
    const send = (resource: KnownResource | undefined): Promise<Response> =>
      resource === undefined ? fetch(url, sent) : fetchFor(resource, origin)(url, sent)
    const known = discovery.resourceOf(url)
    const response = await send(known)
    const learned = await discovery.learn(url, response, known, signal)
    if (learned === undefined) return response
    await response.body?.cancel()
    return await send(learned)
  }
}

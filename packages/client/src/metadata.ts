import { readJson } from './answer.ts'
import { TokenError } from './errors.ts'
import { SharedRequest } from './shared-request.ts'
import type { Time } from './time.ts'

/** Where the token endpoint is (RFC 8414): asked once an hour, and known while the service is away. */

const keptSeconds = 3_600
/** A request waits for so long at most to hear of another endpoint than the one that is known. */
const patienceSeconds = 2
/** After metadata that failed or came too late, the known endpoint is used for so long. */
const retrySeconds = 60

export interface MetadataOptions {
  readonly issuer: string
  readonly fetch: typeof fetch
  readonly time: Time
  /** Whether a certificate proves who we are, so that RFC 8705 §5 may name another endpoint. */
  readonly hasCertificate: boolean
  readonly dangerouslyAllowHttp: boolean
}

export class Metadata {
  readonly #options: MetadataOptions
  #known: { readonly endpoint: string; readonly until: number } | undefined
  #request: SharedRequest<string> | undefined

  constructor(options: MetadataOptions) {
    this.#options = options
  }

  /** @throws TokenError if it is not known and cannot be had. */
  async tokenEndpoint(signal: AbortSignal): Promise<string> {
    const { time } = this.#options
    const known = this.#known
    if (known === undefined) return await this.#asked(signal)
    if (time.monotonicSeconds() < known.until) return known.endpoint
    const patience = new AbortController()
    const both = AbortSignal.any([signal, patience.signal])
    try {
      const late = time.sleep(patienceSeconds, both).then(() => undefined)
      const endpoint = await Promise.race([this.#asked(both), late])
      if (endpoint !== undefined) return endpoint
    } catch (error) {
      if (signal.aborted) throw error
    } finally {
      patience.abort()
    }
    this.#known = { ...known, until: time.monotonicSeconds() + retrySeconds }
    return known.endpoint
  }

  /** One request for all who ask at the same time. */
  async #asked(signal: AbortSignal): Promise<string> {
    if (this.#request === undefined || this.#request.isGivenUp) {
      const request = new SharedRequest((its) => this.#ask(its), { outlivesCallers: false })
      this.#request = request
    }
    const request = this.#request
    try {
      return await request.join(signal)
    } finally {
      if (this.#request === request) this.#request = undefined
    }
  }

  async #ask(signal: AbortSignal): Promise<string> {
    const { issuer, fetch, time } = this.#options
    const response = await fetch(metadataUrl(issuer), {
      headers: { accept: 'application/json' },
      redirect: 'manual',
      signal,
    })
    const body = await readJson(response)
    if (response.status === 429 || response.status >= 500)
      throw new TokenError(
        'unavailable',
        `The metadata of the token service: it answers ${response.status}.`,
        {
          status: response.status,
        },
      )
    if (response.status !== 200 || body === undefined)
      throw new TokenError('metadata_invalid', `${metadataUrl(issuer)} has no metadata of a token service.`, {
        status: response.status,
      })
    if (body['issuer'] !== issuer)
      throw new TokenError('metadata_invalid', `${metadataUrl(issuer)} has the metadata of another issuer.`)
    const endpoint = this.#endpointIn(body)
    this.#known = { endpoint, until: time.monotonicSeconds() + keptSeconds }
    return endpoint
  }

  #endpointIn(body: Record<string, unknown>): string {
    const { hasCertificate, dangerouslyAllowHttp } = this.#options
    const aliases = body['mtls_endpoint_aliases'] as Record<string, unknown> | null | undefined
    const alias = hasCertificate ? aliases?.['token_endpoint'] : undefined
    const endpoint = alias ?? body['token_endpoint']
    if (typeof endpoint !== 'string' || !isSafeUrl(endpoint, dangerouslyAllowHttp))
      throw new TokenError(
        'metadata_invalid',
        'The metadata of the token service name no token endpoint with https.',
      )
    return endpoint
  }
}

/** RFC 8414 §3.1: between the host and the path of the issuer. */
function metadataUrl(issuer: string): string {
  const { origin, pathname } = new URL(issuer)
  return `${origin}/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`
}

/** Whether what is sent there stays between the two: over TLS, or on this machine. */
export function isSafeUrl(text: string, dangerouslyAllowHttp: boolean): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname } = new URL(text)
  if (protocol === 'https:') return true
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
  return protocol === 'http:' && (isLoopback || dangerouslyAllowHttp)
}

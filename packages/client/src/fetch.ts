import { challengeParameter } from './challenge.ts'
import type { DpopProver } from './dpop.ts'
import { isSafeUrl } from './metadata.ts'
import { type RequestSigner, signRequest } from './signature.ts'
import type { Grant } from './token-cache.ts'

export interface FetchOptions {
  /**
   * Where the token may be sent: origins like `https://orders.example.com`. Default: the origin of the audience, if it is
   * a URL. Whoever gets a token can use it.
   */
  readonly origins?: readonly string[] | undefined
  /** Signs each request and its body (RFC 9421): by the key that the token is bound to, or under a shared secret. */
  readonly sign?: boolean | { readonly secret: string | Uint8Array; readonly keyId: string } | undefined
}

/** What is needed to attach the tokens of one audience. */
export interface AttachedTokens {
  readonly audience: string | undefined
  grant(signal: AbortSignal): Promise<Grant>
  /** A relying service refused the token. @returns whether it makes sense to ask for another one. */
  discard(grant: Grant): boolean
  readonly dpop: DpopProver | undefined
  /** Undefined: requests are not signed. Asked for each request, because keys are renewed. */
  readonly signer: (() => RequestSigner) | undefined
  readonly fetch: typeof fetch
  readonly nowSeconds: () => number
  readonly dangerouslyAllowHttp: boolean
}

/**
 * A `fetch` whose requests carry a token. They go nowhere else than to whom the token is for, so it follows no redirects:
 * it returns them.
 */
export function fetchWithTokens(tokens: AttachedTokens, options: FetchOptions): typeof fetch {
  const allowed = readOrigins(options.origins, tokens)
  return async (input, init) => {
    const request = new Request(input, init)
    const { origin } = new URL(request.url)
    if (!allowed.has(origin))
      throw new TypeError(
        `A token for ${tokens.audience} is not sent to ${origin}. "origins" says where it may be sent.`,
      )
    const body = await bodyOf(request, input, init, tokens.signer !== undefined)
    const send = (grant: Grant): Promise<Response> =>
      tokens.fetch(request.url, {
        ...init,
        method: request.method,
        headers: headersFor(request, body, grant, tokens),
        redirect: request.redirect === 'error' ? 'error' : 'manual',
        signal: request.signal,
        ...(body === undefined ? { body: null } : { body: body, duplex: 'half' }),
      })
    const grant = await tokens.grant(request.signal)
    const nonce = tokens.dpop?.nonceFor(request.url)
    const response = await send(grant)
    const hasNewNonce = tokens.dpop?.learn(request.url, response, nonce) === true
    // A stream can be sent once.
    if (body instanceof ReadableStream) return response
    const isRefused =
      response.status === 401 && errorOf(response) === 'invalid_token' && tokens.discard(grant)
    const wantsNonce = response.status === 401 && errorOf(response) === 'use_dpop_nonce' && hasNewNonce
    if (!isRefused && !wantsNonce) return response
    await response.body?.cancel()
    const repeated = await send(isRefused ? await tokens.grant(request.signal) : grant)
    tokens.dpop?.learn(request.url, repeated, nonce)
    return repeated
  }
}

function readOrigins(given: readonly string[] | undefined, tokens: AttachedTokens): ReadonlySet<string> {
  const { audience, dangerouslyAllowHttp } = tokens
  const isUrl = audience !== undefined && /^https?:/.test(audience) && URL.canParse(audience)
  const origins = given ?? (isUrl ? [new URL(audience).origin] : [])
  if (origins.length === 0)
    throw new TypeError(
      `The audience ${audience} is no URL, so "origins" must say where its tokens may be sent.`,
    )
  return checkedOrigins(origins, dangerouslyAllowHttp)
}

/** @throws TypeError for what is no origin, or can be read on the way. */
export function checkedOrigins(
  origins: readonly string[],
  dangerouslyAllowHttp: boolean,
): ReadonlySet<string> {
  for (const origin of origins) {
    if (!URL.canParse(origin) || new URL(origin).origin !== origin)
      throw new TypeError(`origins: ${origin} is not like "https://orders.example.com".`)
    if (!isSafeUrl(origin, dangerouslyAllowHttp))
      throw new TypeError(`origins: ${origin} has no https, so others could read the token on its way.`)
  }
  return new Set(origins)
}

type Input = Parameters<typeof fetch>[0]

/** In memory, so that it can be signed and sent again. A stream stays one, unless it has to be signed. */
async function bodyOf(request: Request, input: Input, init: RequestInit | undefined, isSigned: boolean) {
  if (request.body === null) return undefined
  const isStream = input instanceof Request ? init?.body === undefined : init?.body instanceof ReadableStream
  return isStream && !isSigned ? request.body : new Uint8Array(await request.arrayBuffer())
}

function headersFor(
  request: Request,
  body: Uint8Array | ReadableStream | undefined,
  { tokenType, accessToken }: Grant,
  { dpop, signer, nowSeconds }: AttachedTokens,
): Headers {
  const headers = new Headers(request.headers)
  headers.set('authorization', `${tokenType} ${accessToken}`)
  if (dpop !== undefined) headers.set('dpop', dpop.prove(request.method, request.url, accessToken))
  if (signer !== undefined) {
    const bytes = body instanceof Uint8Array ? body : undefined
    const signed = { method: request.method, url: request.url, headers, body: bytes }
    signRequest(signed, signer(), { nowSeconds: nowSeconds() })
  }
  return headers
}

/** The error of the challenge (RFC 6750 §3). */
const errorOf = (response: Response): string | undefined => challengeParameter(response, 'error')

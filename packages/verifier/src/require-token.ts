import type { X509Certificate } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { ClientCertificate } from './certificate.ts'
import type { AccessTokenClaims } from './claims.ts'
import { VerifyError } from './errors.ts'
import type { Verifier, VerifyContext } from './verifier.ts'

export interface RequireTokenOptions {
  /** Scopes that the token must have, with spaces between them. */
  readonly scope?: string | undefined
  /** What a proxy takes off the front of the path, like `/api`. Callers make their proofs for the whole URL. */
  readonly pathPrefix?: string | undefined
  /** The caller’s certificate, where something else than this process ends TLS. Default: that of the connection. */
  readonly certificate?: ((request: IncomingMessage) => ClientCertificate | undefined) | undefined
}

/** What Fastify hands to a hook, as far as it is used here. */
interface FastifyRequestLike {
  readonly raw: IncomingMessage
  readonly originalUrl: string
}
interface FastifyReplyLike {
  readonly sent: boolean
  code(status: number): unknown
  header(name: string, value: string): unknown
  send(body: unknown): unknown
}
/** What Express adds to a request. */
type ExpressRequestLike = IncomingMessage & { readonly originalUrl?: string }

/** As a `preHandler` or `onRequest` of Fastify, as a middleware of Express, or called in a handler of `node:http`. */
export interface Guard {
  (request: FastifyRequestLike, reply: FastifyReplyLike): Promise<unknown>
  (request: ExpressRequestLike, response: ServerResponse, next: (error?: unknown) => void): Promise<void>
  /** @returns undefined if the request was refused. Then it is answered. */
  (request: IncomingMessage, response: ServerResponse): Promise<AccessTokenClaims | undefined>
}

/** The claims of requests that were let in. */
const admitted = new WeakMap<IncomingMessage, AccessTokenClaims>()

/**
 * The claims of the token that a request was let in with.
 * @throws TypeError if no guard let it in: then the route is not guarded, and must not go on.
 */
export function tokenOf(request: IncomingMessage | { readonly raw: IncomingMessage }): AccessTokenClaims {
  const claims = admitted.get(messageOf(request))
  if (claims === undefined) throw new TypeError('tokenOf: this request was not let in by requireToken.')
  return claims
}

/** Lets in requests with a token that the verifier accepts, and answers all others. */
export function requireToken(verifier: Verifier, options: RequireTokenOptions = {}): Guard {
  const { pathPrefix } = options
  if (pathPrefix !== undefined && !/^(?:\/[^/?#\s]+)+$/.test(pathPrefix))
    throw new TypeError('requireToken: pathPrefix must be like "/api".')
  async function guard(
    request: FastifyRequestLike | ExpressRequestLike,
    response: FastifyReplyLike | ServerResponse,
    // The default makes this a function of two arguments, which Fastify requires of asynchronous hooks.
    next: ((error?: unknown) => void) | undefined = undefined,
  ): Promise<unknown> {
    const message = messageOf(request)
    const url = ('originalUrl' in request ? request.originalUrl : undefined) ?? message.url ?? '/'
    try {
      const claims = await admit(verifier, message, url, options)
      admitted.set(message, claims)
      if (next === undefined) return 'setHeader' in response ? claims : undefined
    } catch (error) {
      if (error instanceof VerifyError) return answer(response, error)
      if (next === undefined) throw error
      return next(error)
    }
    return next()
  }
  return guard as Guard
}

/** Requests of Fastify have the message in `raw`; those of Express are the message. */
function messageOf(request: IncomingMessage | { readonly raw: IncomingMessage }): IncomingMessage {
  return 'rawHeaders' in request ? request : request.raw
}

async function admit(
  verifier: Verifier,
  message: IncomingMessage,
  url: string,
  { scope, pathPrefix = '', certificate = certificateOf }: RequireTokenOptions,
): Promise<AccessTokenClaims> {
  const mark = url.indexOf('?')
  const [path, query] = mark === -1 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)]
  const context: VerifyContext = { scope, path, certificate: () => certificate(message) }
  const shown = readAuthorization(headersOf(message, 'authorization'), query)
  if (shown instanceof VerifyError) throw verifier.refuse(shown, context)
  if (shown.scheme === 'Bearer') return await verifier.verify(shown.token, context)
  // Without an origin no proof can be checked, so DPoP is a scheme that is not understood here.
  if (verifier.origin === undefined) throw verifier.refuse(new VerifyError('token_missing'), context)
  // A request may also name another host, or none (RFC 9112 §3.2.2, §3.2.4). Behind our origin that would be no URL, or another.
  if (!path.startsWith('/')) throw verifier.refuse(new VerifyError('request_malformed'), context)
  const dpop = {
    proof: headersOf(message, 'dpop'),
    method: message.method ?? 'GET',
    // From the settings: the Host header is the caller’s.
    url: new URL(`${verifier.origin}${pathPrefix}${path}`),
  }
  return await verifier.verify(shown.token, { ...context, dpop })
}

/**
 * The token of a request (RFC 6750 §2.1, RFC 9449 §7.1). Two of them, or one in the query, are no way to show one.
 * @param values those of all `Authorization` headers.
 */
export function readAuthorization(
  values: readonly string[],
  query = '',
): { readonly scheme: 'Bearer' | 'DPoP'; readonly token: string } | VerifyError {
  const [value, ...others] = values
  if (others.length > 0 || new URLSearchParams(query).has('access_token'))
    return new VerifyError('request_malformed')
  const [, scheme = ''] = /^(bearer|dpop)(?![^\s])/i.exec(value ?? '') ?? []
  if (value === undefined || scheme === '') return new VerifyError('token_missing')
  const [, token] = /^ ([A-Za-z0-9._~+/-]+=*)$/.exec(value.slice(scheme.length)) ?? []
  if (token === undefined) return new VerifyError('request_malformed')
  return { scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token }
}

/** All values of a header. `request.headers` has only the first `Authorization`. */
function headersOf({ rawHeaders }: IncomingMessage, wanted: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === wanted)
}

/** TLS has proved that the caller has its key. Whether its authority is trusted does not matter: the token names it. */
function certificateOf({ socket }: IncomingMessage): X509Certificate | undefined {
  return (socket as Partial<TLSSocket>).getPeerX509Certificate?.()
}

function answer(response: FastifyReplyLike | ServerResponse, error: VerifyError): unknown {
  // Something else has answered meanwhile, such as a time limit. An error here would end the process under Express 4.
  if ('sent' in response ? response.sent : response.headersSent) return undefined
  const headers: [string, string | undefined][] = [
    ['www-authenticate', error.wwwAuthenticate],
    ['retry-after', error.retryAfterSeconds?.toString()],
    ['cache-control', 'no-store'],
  ]
  const body = { error: error.error ?? error.code, error_description: error.message }
  if (!('setHeader' in response)) {
    response.code(error.status)
    for (const [name, value] of headers) if (value !== undefined) response.header(name, value)
    return response.send(body)
  }
  response.statusCode = error.status
  for (const [name, value] of headers) if (value !== undefined) response.setHeader(name, value)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(body))
  return undefined
}

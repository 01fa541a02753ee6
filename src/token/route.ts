import { type IncomingMessage, METHODS } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { JudgedCertificate } from '../authentication/certificate.ts'
import { callerAddress } from '../http/caller-address.ts'
import { isFormType } from '../http/form-type.ts'
import { hasRepeatedSingleton } from '../http/singleton-headers.ts'
import { isOnlyCounted } from '../ledger/ledger.ts'
import type { ClaimedText } from '../lib/claimed-text.ts'
import type { Clock } from '../lib/clock.ts'
import { OAuthError, type RefusalReason } from '../refusals.ts'
import { describeError, type Log, type LogRequest, type RequestEvent } from '../telemetry/log.ts'
import { Admission } from './admission.ts'
import { hasBodyParameter } from './form.ts'
import { type IssuedToken, type IssueEdges, issueToken, recordRefusal } from './issue.ts'
import type { Origin } from './records.ts'
import { authenticatesInBody, type Claimed, type RawTokenRequest } from './request.ts'

export interface TokenRouteOptions extends IssueEdges {
  readonly claimedText: ClaimedText
  readonly log: Log
  readonly logRequest: LogRequest
  /** The headers of every answer of this service. */
  readonly constantHeaders: Readonly<Record<string, string>>
  /** The certificate of the caller; undefined: callers are not asked for one. */
  readonly certificateOf?: ((request: IncomingMessage) => JudgedCertificate | undefined) | undefined
  /** Resolves when it is the turn of a request whose body has arrived; undefined if it is already. */
  readonly turnOf?: ((request: IncomingMessage) => Promise<void> | undefined) | undefined
  /** Resolves when the refusal of a request over a limit of failures may be sent; undefined if it may at once. */
  readonly holdRefusal?: ((request: IncomingMessage) => Promise<void> | undefined) | undefined
  /** The paths of the token endpoint. */
  readonly paths: readonly string[]
}

/** What is known of a request while it is answered. */
interface Exchange {
  readonly origin: Origin
  readonly claimed: Claimed
  /** Milliseconds on the monotonic clock. */
  readonly startedAt: number
  /** Whether `issueToken` was called. Its refusals have their record already. */
  issuing: boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the first hook. */
    exchange: Exchange
  }
}

/**
 * The HTTP part of `POST /token`: it checks the message around the form and sends the answer (RFC 6749 §5).
 * Requests with any method, any content type or too large a body arrive here too, because their refusals are
 * recorded as well.
 */
export function tokenRoute(app: FastifyInstance, options: TokenRouteOptions, done: () => void): void {
  const headers = Object.entries({ ...options.constantHeaders, ...answerHeaders }).flat()
  // When the server closes, Node closes only idle connections. A busy connection stays open unless its last
  // answer contains `connection: close`.
  app.addHook('preClose', (closed) => {
    headers.push('connection', 'close')
    closed()
  })
  app.decorateRequest('exchange')
  const { claimedText, registry } = options
  const isRegistered = (clientId: string) => registry.viewNow(clientId, '')?.client !== undefined
  // Counts only requests whose body has arrived, so that clients with a slow body do not block others.
  const admission = openAdmission(options)
  // The origin is read in the first hook, because a socket that is reset later no longer has an address.
  app.addHook('onRequest', (request, _reply, next) => {
    const startedAt = options.clock.monotonicMilliseconds()
    request.exchange = {
      origin: originOf(options.claimedText, request),
      claimed: {},
      startedAt,
      issuing: false,
    }
    next(admission.isFull ? new OAuthError('overloaded') : undefined)
  })
  async function issue({ raw, body, exchange }: FastifyRequest): Promise<IssuedToken> {
    const certificate = options.certificateOf?.(raw)
    exchange.issuing = true
    const sent: RawTokenRequest = {
      rawHeaders: raw.rawHeaders,
      body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
      certificate,
      claimedText,
      isRegistered,
    }
    return await issueToken(options, sent, exchange.origin, exchange.claimed)
  }
  takeEveryRequest(app)
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const { exchange } = request
    // An OAuthError of `issueToken` has its record already. Any other error was thrown before that call, or
    // is a fault, and is recorded here.
    const refusal =
      error instanceof OAuthError && exchange.issuing
        ? error
        : await recordRefusal(options, exchange.origin, exchange.claimed, toOAuthError(error, request.method))
    const status = statusOf(refusal, exchange.claimed)
    logRefusal(options, request, refusal, status)
    const held = isOverLimit(refusal) ? options.holdRefusal?.(request.raw) : undefined
    if (held !== undefined) {
      // Thousands may be held back at a time.
      request.body = undefined
      await held
    }
    const more = refusal.error === 'use_dpop_nonce' ? nonceHeaders(options) : []
    answer(reply, status, [...headers, ...refusalHeaders(refusal, status), ...more], refusal.body())
    return reply
  })

  for (const path of options.paths) {
    app.all(path, async (request, reply) => {
      checkMessage(request)
      const turn = options.turnOf?.(request.raw)
      if (turn !== undefined) await turn
      const begin = admission.enter(() => request.raw.socket.destroyed)
      if (begin !== undefined) await begin
      const issued = await admission.count(issue(request))
      options.logRequest({ ...eventOf(options.clock, request, 200), outcome: 'issued' })
      const scope = issued.scope === '' ? '' : `,"scope":"${issued.scope}"`
      // Nothing needs escaping: tokens are base64url, and scopes have no quotes or backslashes (RFC 6749
      // §3.3).
      const text = `{"access_token":"${issued.accessToken}","token_type":"${issued.tokenType}","expires_in":${issued.expiresInSeconds}${scope}}`
      answer(reply, 200, issued.tokenType === 'DPoP' ? [...headers, ...nonceHeaders(options)] : headers, text)
      return reply
    })
  }
  done()
}

/** A request that waits for keys or a document from elsewhere takes no place. The next one begins. */
function openAdmission({ clock, remoteKeys, clientMetadata }: TokenRouteOptions): Admission {
  const waitingForOthers = () => remoteKeys.waiting + clientMetadata.waiting
  const admission = new Admission(() => clock.monotonicMilliseconds(), waitingForOthers)
  const moveLine = () => admission.moveLine()
  remoteKeys.whenWaiting = moveLine
  clientMetadata.whenWaiting = moveLine
  return admission
}

/** Requests with any method and any content type arrive at the route, so that their refusal is recorded. */
function takeEveryRequest(app: FastifyInstance): void {
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method) && method !== 'CONNECT') {
      app.addHttpMethod(method, { hasBody: true })
    }
  }
  app.removeAllContentTypeParsers()
  // The form type is listed besides `*` because Fastify caches the parser of a named type. It searches the
  // parser of other types for each request.
  app.addContentTypeParser(
    ['application/x-www-form-urlencoded', '*'],
    { parseAs: 'buffer' },
    (_request, body, parsed) => parsed(null, body),
  )
}

/** No cache may store a token or a refusal (RFC 6749 §5.1). */
const answerHeaders = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }

/**
 * Writes directly to Node's response. The headers are the same for every answer, and setting each one by name
 * costs a tenth of a signature.
 * @param body printable ASCII. Values from the request must be escaped in it.
 */
function answer(reply: FastifyReply, status: number, headers: readonly string[], body: string): void {
  reply.hijack()
  const ownHeaders = ['x-request-id', reply.request.id, 'content-length', String(body.length)]
  reply.raw.writeHead(status, headers.concat(ownHeaders)).end(body, 'latin1')
}

/** RFC 6749 §5.2 requires 401 after an attempt with the Authorization header, and lets us choose after any other. */
function statusOf(refusal: OAuthError, claimed: Claimed): number {
  return refusal.status === 401 && authenticatesInBody(claimed) ? 400 : refusal.status
}

function isOverLimit({ reason }: OAuthError): boolean {
  return reason === 'failures_of_client' || reason === 'failures_of_address'
}

function refusalHeaders(refusal: OAuthError, status: number): string[] {
  const headers: string[] = []
  // RFC 9110 §15.5.2 requires this header on every 401, RFC 6749 §5.2 after an attempt with Basic.
  if (status === 401) headers.push('www-authenticate', 'Basic realm="mintmark", charset="UTF-8"')
  if (refusal.status === 405) headers.push('allow', 'POST')
  if (refusal.retryAfterSeconds !== undefined) headers.push('retry-after', String(refusal.retryAfterSeconds))
  // The unread rest of the body must not be read as the next request, so the connection is closed.
  if (refusal.status === 413 || refusal.reason === 'body_incomplete') headers.push('connection', 'close')
  return headers
}

/**
 * The nonce for the next proof. It is sent with a token too, so that no caller has to repeat a request every few
 * minutes to get a nonce (RFC 9449 §8.2).
 */
function nonceHeaders({ dpop }: TokenRouteOptions): string[] {
  const nonce = dpop.nonces?.current
  return nonce === undefined ? [] : ['dpop-nonce', nonce]
}

function checkMessage(request: FastifyRequest): void {
  if (request.method !== 'POST') throw new OAuthError('method_not_allowed')
  const { raw } = request
  if (hasRepeatedSingleton(raw.rawHeaders, Object.keys(raw.headers).length))
    throw new OAuthError('header_repeated')
  const queryAt = request.url.indexOf('?')
  if (queryAt !== -1 && hasBodyParameter(request.url.slice(queryAt + 1))) {
    throw new OAuthError('query_string_present')
  }
  const { headers } = request
  if (!isFormType(headers['content-type'] ?? '')) throw new OAuthError('content_type_unsupported')
  // An empty list names no coding (RFC 9110 §5.6.1).
  const encoding = headers['content-encoding'] || 'identity'
  if (encoding.toLowerCase() !== 'identity') {
    throw new OAuthError('content_encoding_unsupported')
  }
}

const fastifyReasons: Readonly<Record<string, RefusalReason>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'body_incomplete',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content_type_unsupported',
  FST_ERR_CTP_INVALID_TYPE: 'content_type_unsupported',
  ECONNRESET: 'body_incomplete',
}

function toOAuthError(error: FastifyError, method: string): unknown {
  if (error instanceof OAuthError) return error
  // Fastify may reject such a request before the route can refuse its method.
  if (method !== 'POST' && (error.statusCode ?? 500) < 500)
    return new OAuthError('method_not_allowed', { cause: error })
  const reason = fastifyReasons[error.code]
  return reason === undefined ? error : new OAuthError(reason, { cause: error })
}

function logRefusal(
  { log, logRequest, clock }: TokenRouteOptions,
  request: FastifyRequest,
  refusal: OAuthError,
  status: number,
): void {
  const event = eventOf(clock, request, status)
  logRequest({ ...event, outcome: 'refused', reason: refusal.reason })
  // An unreachable database is logged once a second (`database_fault`) and not for each request.
  if (refusal.status >= 500 && refusal.cause !== undefined && !isOnlyCounted(refusal)) {
    log.error({ event: 'fault', requestId: request.id, error: describeError(refusal.cause) }, refusal.reason)
  }
}

function originOf(claimedText: ClaimedText, request: FastifyRequest): Origin {
  const userAgent = request.headers['user-agent']
  return {
    address: callerAddress(claimedText, request.ip),
    userAgent: userAgent === undefined ? undefined : claimedText.keep(userAgent, true),
    requestId: request.id,
  }
}

/** How many characters of a claimed name are logged. The ledger keeps more, and a hash of a longer value. */
const loggedCharactersMax = 128

function eventOf(clock: Clock, request: FastifyRequest, status: number): RequestEvent {
  const { origin, claimed, startedAt } = request.exchange
  return {
    requestId: request.id,
    method: request.method,
    route: '/token',
    status,
    durationMilliseconds: Math.round((clock.monotonicMilliseconds() - startedAt) * 100) / 100,
    address: origin.address,
    clientId: claimed.clientId?.slice(0, loggedCharactersMax),
    audience: claimed.target?.slice(0, loggedCharactersMax),
  }
}

import { METHODS } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OAuthError, type RefusalReason } from '../errors.ts'
import { isOnlyCounted } from '../ledger/ledger.ts'
import type { Clock } from '../lib/clock.ts'
import { limits } from '../limits.ts'
import { describeError, type Log, type LogRequest, type RequestEvent } from '../telemetry/log.ts'
import { type IssueEdges, issueToken, type Origin, recordRefusal } from './issue.ts'
import { type Claimed, withoutSecret } from './request.ts'

export interface TokenRouteOptions extends IssueEdges {
  readonly log: Log
  readonly logRequest: LogRequest
  /** What stands in every answer of this service. */
  readonly constantHeaders: Readonly<Record<string, string>>
  /** The paths it is served at. */
  readonly paths: readonly string[]
}

/** What is noted of a request on its way. */
interface Exchange {
  readonly origin: Origin
  readonly claimed: Claimed
  /** On the monotonic clock, in milliseconds. */
  readonly startedAt: number
  /** Whether the grant was asked: what it refuses has its record already. */
  asked: boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    /** From the first hook on. */
    exchange: Exchange
  }
}

/**
 * `POST /token` on the web: checks of the message around the form, and the answer's headers (RFC 6749 §5).
 * Every method, content type and oversized body arrives here too, because their refusals are recorded as well.
 */
export function tokenRoute(app: FastifyInstance, options: TokenRouteOptions, done: () => void): void {
  const headers = Object.entries({ ...options.constantHeaders, ...answerHeaders }).flat()
  // Node closes what is idle when it closes; of what is busy the last answer has to say so, or it stays open.
  app.addHook('preClose', (closed) => {
    headers.push('connection', 'close')
    closed()
  })
  app.decorateRequest('exchange')
  // Those whose body has arrived: whoever sends one slowly holds nobody up.
  let underWay = 0
  // Now, because a socket that was reset meanwhile no longer says who it was.
  app.addHook('onRequest', (request, _reply, next) => {
    const startedAt = options.clock.monotonicMilliseconds()
    request.exchange = { origin: originOf(request), claimed: {}, startedAt, asked: false }
    next(underWay < limits.requestsUnderWayMax ? undefined : new OAuthError('overloaded'))
  })
  // Whatever else Node can read arrives here as well, to be refused and recorded like any other.
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method) && method !== 'CONNECT') {
      app.addHttpMethod(method, { hasBody: true })
    }
  }
  app.removeAllContentTypeParsers()
  // The form by its name as well: Fastify remembers the parser of a name, and looks for that of the rest each time.
  app.addContentTypeParser(
    ['application/x-www-form-urlencoded', '*'],
    { parseAs: 'buffer' },
    (_request, body, parsed) => parsed(null, body),
  )

  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const { exchange } = request
    // An OAuthError that comes from issueToken has its record; anything else was thrown on the way there.
    const refusal =
      error instanceof OAuthError && exchange.asked
        ? error
        : await recordRefusal(options, exchange.origin, exchange.claimed, toOAuthError(error, request.method))
    logRefusal(options, request, refusal)
    answer(reply, refusal.status, [...headers, ...refusalHeaders(refusal)], refusal.body())
    return reply
  })

  for (const path of options.paths) {
    app.all(path, async (request, reply) => {
      checkMessage(request)
      const { exchange } = request
      exchange.asked = true
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const raw = { rawHeaders: request.raw.rawHeaders, body }
      underWay += 1
      const issued = await issueToken(options, raw, exchange.origin, exchange.claimed).finally(() => {
        underWay -= 1
      })
      options.logRequest({ ...eventOf(options.clock, request, 200), outcome: 'issued' })
      const scope = issued.scope === '' ? '' : `,"scope":"${issued.scope}"`
      // Tokens are base64url and scopes have no quotes or backslashes (RFC 6749 §3.3): nothing to escape.
      const text = `{"access_token":"${issued.accessToken}","token_type":"Bearer","expires_in":${issued.expiresInSeconds}${scope}}`
      answer(reply, 200, headers, text)
      return reply
    })
  }
  done()
}

/** RFC 6749 §5.1: tokens and refusals are never to be stored. */
const answerHeaders = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }

/**
 * Straight to Node's response: the headers are the same for every answer, and setting each by its name costs as
 * much as a tenth of a signature.
 * @param body printable ASCII; what it repeats of a request is escaped.
 */
function answer(reply: FastifyReply, status: number, headers: readonly string[], body: string): void {
  reply.hijack()
  const ownHeaders = ['x-request-id', reply.request.id, 'content-length', String(body.length)]
  reply.raw.writeHead(status, headers.concat(ownHeaders)).end(body, 'latin1')
}

function refusalHeaders(refusal: OAuthError): string[] {
  const headers: string[] = []
  // RFC 9110 §15.5.2 wants it on every 401, RFC 6749 §5.2 when Basic was tried.
  if (refusal.status === 401) headers.push('www-authenticate', 'Basic realm="mintmark", charset="UTF-8"')
  if (refusal.status === 405) headers.push('allow', 'POST')
  if (refusal.retryAfterSeconds !== undefined) headers.push('retry-after', String(refusal.retryAfterSeconds))
  // Whatever part of the body was not read is not a next request.
  if (refusal.status === 413 || refusal.reason === 'body_incomplete') headers.push('connection', 'close')
  return headers
}

const formType =
  /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-8"?[ \t]*)?;?[ \t]*$/i

function checkMessage(request: FastifyRequest): void {
  if (request.method !== 'POST') throw new OAuthError('method_not_allowed')
  if (request.url.includes('?')) throw new OAuthError('query_string_present')
  const { headers } = request
  if (!formType.test(headers['content-type'] ?? '')) throw new OAuthError('content_type_unsupported')
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
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
  // A method that Fastify itself stumbles over, before the route could refuse it.
  if (method !== 'POST' && (error.statusCode ?? 500) < 500)
    return new OAuthError('method_not_allowed', { cause: error })
  const reason = fastifyReasons[error.code]
  return reason === undefined ? error : new OAuthError(reason, { cause: error })
}

function logRefusal(
  { log, logRequest, clock }: TokenRouteOptions,
  request: FastifyRequest,
  refusal: OAuthError,
): void {
  const event = eventOf(clock, request, refusal.status)
  logRequest({ ...event, outcome: 'refused', reason: refusal.reason })
  // That the database is away is said once a second, and not for each request (`database_fault`).
  if (refusal.status >= 500 && refusal.cause !== undefined && !isOnlyCounted(refusal)) {
    log.error({ event: 'fault', requestId: request.id, error: describeError(refusal.cause) }, refusal.reason)
  }
}

/** Some proxies write the port into X-Forwarded-For; each would count as an address of its own. */
function withoutPort(address: string): string {
  if (!address.includes(':')) return address
  return address.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1').replace(/^\[([\da-fA-F:.]+)\](?::\d+)?$/, '$1')
}

function originOf(request: FastifyRequest): Origin {
  const userAgent = request.headers['user-agent']
  return {
    address: withoutPort(request.ip ?? 'unknown'),
    userAgent: userAgent === undefined ? undefined : withoutSecret(userAgent),
    requestId: request.id,
  }
}

/** Characters of a claimed name that the log keeps; the ledger keeps more, and a hash of the rest. */
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

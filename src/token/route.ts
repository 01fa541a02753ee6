import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OAuthError, type RefusalReason } from '../errors.ts'
import { describeError, type Log, type LogRequest } from '../log.ts'
import { type IssueEdges, issueToken, type Origin, recordRefusal } from './issue.ts'
import { type Claimed, withoutSecret } from './request.ts'

export interface TokenRouteOptions extends IssueEdges {
  readonly log: Log
  readonly logRequest: LogRequest
  /** The paths it is served at. */
  readonly paths: readonly string[]
}

/**
 * `POST /token` on the web: checks of the message around the form, and the answer's headers (RFC 6749 §5).
 * Every method, content type and oversized body arrives here too, because their refusals are recorded as well.
 */
export function tokenRoute(app: FastifyInstance, options: TokenRouteOptions, done: () => void): void {
  const pending = new WeakMap<FastifyRequest, Claimed>()
  // Now, because a socket that was reset meanwhile no longer says who it was.
  app.addHook('onRequest', (request, _reply, next) => {
    addresses.set(request, withoutPort(request.ip ?? 'unknown'))
    next()
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body))

  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const claimed = pending.get(request) ?? {}
    // An OAuthError that comes from issueToken has its record; anything else was thrown on the way there.
    const refusal =
      error instanceof OAuthError && pending.has(request)
        ? error
        : await recordRefusal(options, originOf(request), claimed, toOAuthError(error, request.method))
    answerRefusal(options, request, reply, refusal, claimed)
    return reply
  })

  for (const path of options.paths) {
    app.all(path, async (request, reply) => {
      checkMessage(request)
      const claimed: Claimed = {}
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      pending.set(request, claimed)
      const issued = await issueToken(
        options,
        { rawHeaders: request.raw.rawHeaders, body },
        originOf(request),
        claimed,
      )
      const scope = issued.scope === '' ? '' : `,"scope":"${issued.scope}"`
      reply.headers(answerHeaders)
      options.logRequest({ ...eventOf(request, reply, 200, claimed), outcome: 'issued' })
      // Tokens are base64url and scopes have no quotes or backslashes (RFC 6749 §3.3): nothing to escape.
      return `{"access_token":"${issued.accessToken}","token_type":"Bearer","expires_in":${issued.expiresInSeconds}${scope}}`
    })
  }
  done()
}

/** RFC 6749 §5.1: tokens and refusals are never to be stored. */
const answerHeaders = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }

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

function answerRefusal(
  { log, logRequest }: Pick<TokenRouteOptions, 'log' | 'logRequest'>,
  request: FastifyRequest,
  reply: FastifyReply,
  refusal: OAuthError,
  claimed: Claimed,
): void {
  reply.code(refusal.status).headers(answerHeaders)
  // RFC 9110 §15.5.2 wants it on every 401, RFC 6749 §5.2 when Basic was tried.
  if (refusal.status === 401) reply.header('www-authenticate', 'Basic realm="mintmark", charset="UTF-8"')
  if (refusal.status === 405) reply.header('allow', 'POST')
  if (refusal.retryAfterSeconds !== undefined) reply.header('retry-after', String(refusal.retryAfterSeconds))
  // Whatever part of the body was not read is not a next request.
  if (refusal.status === 413 || refusal.reason === 'body_incomplete') reply.header('connection', 'close')
  logRequest({
    ...eventOf(request, reply, refusal.status, claimed),
    outcome: 'refused',
    reason: refusal.reason,
  })
  if (refusal.status >= 500 && refusal.cause !== undefined) {
    log.error({ event: 'fault', requestId: request.id, error: describeError(refusal.cause) }, refusal.reason)
  }
  reply.send(refusal.body())
}

const addresses = new WeakMap<FastifyRequest, string>()

/** Some proxies write the port into X-Forwarded-For; each would count as an address of its own. */
function withoutPort(address: string): string {
  return address.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1').replace(/^\[([\da-fA-F:.]+)\](?::\d+)?$/, '$1')
}

function addressOf(request: FastifyRequest): string {
  return addresses.get(request) ?? request.ip ?? 'unknown'
}

function originOf(request: FastifyRequest): Origin {
  const userAgent = request.headers['user-agent']
  return {
    address: addressOf(request),
    userAgent: userAgent === undefined ? undefined : withoutSecret(userAgent),
    requestId: request.id,
  }
}

/** Characters of a claimed name that the log keeps; the ledger keeps more, and a hash of the rest. */
const loggedCharactersMax = 128

function eventOf(request: FastifyRequest, reply: FastifyReply, status: number, claimed: Claimed) {
  return {
    requestId: request.id,
    method: request.method,
    route: '/token',
    status,
    durationMilliseconds: Math.round(reply.elapsedTime * 100) / 100,
    address: addressOf(request),
    ...(claimed.clientId === undefined ? {} : { clientId: claimed.clientId.slice(0, loggedCharactersMax) }),
    ...(claimed.target === undefined ? {} : { audience: claimed.target.slice(0, loggedCharactersMax) }),
  }
}

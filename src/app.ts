import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import type { Config } from './config.ts'
import { authorizationEndpoint } from './http/authorization-endpoint.ts'
import { type AnsweringSocket, answerBrokenRequest } from './http/broken-request.ts'
import { callerAddress, trustedProxies } from './http/caller-address.ts'
import { boundConnections } from './http/connection-limits.ts'
import { discoveryRoute } from './http/discovery.ts'
import { type RefuseFraming, refuseWhatNodeTakes } from './http/framing.ts'
import { type HealthOptions, healthRoute } from './http/health.ts'
import { addMtlsListener } from './http/mtls-listener.ts'
import { addProxySocket } from './http/proxy-socket.ts'
import { securityHeaders } from './http/security-headers.ts'
import { hasRepeatedSingleton } from './http/singleton-headers.ts'
import { secureContext } from './http/tls.ts'
import { withoutSchemas } from './http/without-schemas.ts'
import { keysRoute } from './keys/route.ts'
import type { Verifiers } from './keys/verifier-store.ts'
import type { ClaimedText } from './lib/claimed-text.ts'
import type { ClockGuard } from './lib/clock-guard.ts'
import { limits } from './limits.ts'
import { OAuthError } from './refusals.ts'
import { brokenRequests } from './telemetry/events.ts'
import { describeError, type Log, type LogRequest, requestLog } from './telemetry/log.ts'
import { Tally } from './telemetry/tally.ts'
import type { IssueEdges } from './token/issue.ts'
import { type TokenRouteOptions, tokenRoute } from './token/route.ts'

export interface AppEdges extends IssueEdges {
  readonly clockGuard: ClockGuard
  readonly log: Log
  readonly claimedText: ClaimedText
  readonly certificateOf?: TokenRouteOptions['certificateOf']
  readonly verifiers: Verifiers
  /** From 0 up to 1. */
  readonly random: () => number
  readonly health: HealthOptions
  /** Returns the id of a new request for the log, the ledger and the response. */
  readonly requestId: () => string
}

/** Registers every plugin and route, in order. It does not listen yet. */
export async function buildApp(config: Config, edges: AppEdges): Promise<FastifyInstance> {
  const constantHeaders = await securityHeaders(config.issuer.startsWith('https:'))
  const connections = {
    maxHeaderSize: limits.headerBytesMax,
    connectionsCheckingInterval: limits.connectionCheckIntervalMilliseconds,
    headersTimeout: limits.headersTimeoutSeconds * 1000,
    handshakeTimeout: limits.handshakeTimeoutSeconds * 1000,
    // Looked for in framing.ts. Node's own answer has none of our headers.
    requireHostHeader: false,
  }
  const broken = new Tally({
    clock: edges.clock,
    report: (counts, address) => brokenRequests(edges.log, counts, address),
  })
  const options = {
    logger: false,
    genReqId: edges.requestId,
    trustProxy: trustedProxies(config),
    bodyLimit: limits.bodyBytesMax,
    keepAliveTimeout: limits.keepAliveTimeoutSeconds * 1000,
    requestTimeout: limits.requestTimeoutSeconds * 1000,
    connectionTimeout: limits.stalledConnectionSeconds * 1000,
    // While the server closes, requests on open connections are answered, with `connection: close`.
    return503OnClosing: false,
    forceCloseConnections: 'idle' as const,
    clientErrorHandler: (error: Error & { code?: string }, socket: AnsweringSocket) =>
      answerBrokenRequest(broken, constantHeaders, error, socket),
    // A malformed path has no route. The answer repeats no part of it.
    frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) => {
      broken.count('URL_MALFORMED', request.raw.socket.remoteAddress)
      reply.headers({ ...constantHeaders, 'x-request-id': request.id, 'cache-control': 'no-store' })
      return reply.code(400).send(malformedUrl)
    },
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: false },
    ...withoutSchemas,
  } satisfies FastifyServerOptions
  // Fastify's types distinguish two kinds of server, so there are two calls. The rest of this program uses
  // one type.
  const app =
    config.tls === undefined
      ? fastify({ ...options, http: connections })
      : (fastify({
          ...options,
          https: { ...connections, ...secureContext(config.tls, asksEverybody(config)) },
        }) as unknown as FastifyInstance)
  const refuseFraming = refuseWhatNodeTakes(app, broken, constantHeaders)
  const { tls, mtls, proxySocket } = config
  app.decorate('listeners', [app.server])
  if (tls !== undefined && mtls !== undefined) addMtlsListener(app, tls, connections)
  else app.decorate('mtlsServer', undefined)
  if (proxySocket !== undefined) addProxySocket(app, connections)
  else app.decorate('proxySocket', undefined)
  const { turnOf, holdRefusal } = boundConnections(app, config, edges)
  app.addHook('onClose', async () => broken.flush())
  const issuerPath = new URL(config.issuer).pathname.replace(/\/$/, '')
  const logRequest = requestLog(edges.log)
  await app.register(tokenRoute, {
    ...edges,
    logRequest,
    constantHeaders,
    turnOf,
    holdRefusal,
    paths: each('/token', `${issuerPath}/token`),
  })
  await app.register(openRoutes, {
    config,
    edges,
    logRequest,
    constantHeaders,
    issuerPath,
    refuseFraming,
  })
  await app.ready()
  return app
}

/** Whether the listener at PORT asks callers for a certificate. */
export const asksEverybody = ({ clientTrust, mtls }: Config): boolean =>
  clientTrust !== undefined && mtls === undefined

interface OpenRoutesOptions {
  readonly config: Config
  readonly edges: AppEdges
  readonly logRequest: LogRequest
  readonly constantHeaders: Readonly<Record<string, string>>
  readonly refuseFraming: RefuseFraming
  /** The path of the issuer; empty if it has none. */
  readonly issuerPath: string
}

/** The routes without authentication: keys, metadata, health. */
async function openRoutes(
  app: FastifyInstance,
  { config, edges, logRequest, constantHeaders, issuerPath, refuseFraming }: OpenRoutesOptions,
): Promise<void> {
  // No route here takes a body, so none is parsed.
  app.removeAllContentTypeParsers()
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...constantHeaders, 'x-request-id': request.id })
    const { rawHeaders, headers } = request.raw
    // Node would read a body to its end, to find the next request behind it.
    const { 'content-length': length, 'transfer-encoding': coding } = headers
    if (Number(length) > limits.bodyBytesMax || coding !== undefined) reply.header('connection', 'close')
    if (hasRepeatedSingleton(rawHeaders, Object.keys(headers).length)) throw new OAuthError('header_repeated')
  })
  app.addHook('onResponse', async (request, reply) => {
    logRequest({
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMilliseconds: Math.round(reply.elapsedTime * 100) / 100,
      address: callerAddress(edges.claimedText, request.ip),
    })
  })
  await app.register(keysRoute, {
    keyring: edges.keyring,
    clock: edges.clock,
    clockGuard: edges.clockGuard,
    catchUp: () => edges.registry.catchUp(),
    verifiers: edges.verifiers,
    claimedText: edges.claimedText,
    schedule: config.schedule,
    random: edges.random,
    paths: each('/.well-known/jwks.json', `${issuerPath}/.well-known/jwks.json`),
  })
  await app.register(discoveryRoute, {
    issuer: config.issuer,
    keyring: edges.keyring,
    registry: edges.registry,
    clockGuard: edges.clockGuard,
    catchUp: () => edges.registry.catchUp(),
    maxAgeSeconds: config.schedule.jwksMaxAgeSeconds,
    mtls: config.clientTrust === undefined ? undefined : { url: config.mtls?.url },
    // RFC 8414 §3.1 puts the path of the issuer after the well-known path. OpenID Connect puts it before. Some libraries do
    // either for both, and a proxy may pass on only what begins with that path.
    paths: ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'].flatMap((path) =>
      each(path, `${path}${issuerPath}`, `${issuerPath}${path}`),
    ),
  })
  await app.register(authorizationEndpoint, {
    issuer: config.issuer,
    paths: each('/authorize', `${issuerPath}/authorize`),
  })
  await app.register(healthRoute, edges.health)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    // Node also reads methods of other protocols (RTSP). For them Fastify has no route, no hook and no handler.
    if (error.code === 'FST_ERR_NOT_FOUND') return refuseFraming('HTTP_VERSION', request, reply)
    // Fastify looks at the body before the handler can say that nothing is here to take it.
    if (request.is404 && (error.statusCode ?? 500) < 500)
      return answerWithoutRoute(app, config.issuer, request, reply)
    const status = error instanceof OAuthError ? error.status : (error.statusCode ?? 500)
    reply.code(status).header('cache-control', 'no-store')
    if (error instanceof OAuthError) return reply.type('application/json').send(error.body())
    if (status < 500) return reply.send({ error: 'invalid_request' })
    edges.log.error(
      { event: 'fault', requestId: request.id, error: describeError(error) },
      'a request failed',
    )
    return reply.send({ error: 'server_error' })
  })
  app.setNotFoundHandler((request, reply) => answerWithoutRoute(app, config.issuer, request, reply))
}

function answerWithoutRoute(
  app: FastifyInstance,
  issuer: string,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  reply.header('cache-control', 'no-store')
  // The path exists, but not for this method (RFC 9110 §15.5.6).
  const url = pathOf(request.url)
  if (app.hasRoute({ method: 'GET', url })) {
    const allowed = app.hasRoute({ method: 'OPTIONS', url }) ? 'GET, HEAD, OPTIONS' : 'GET, HEAD'
    reply.code(405).header('allow', allowed)
    return reply.send({ error: 'method_not_allowed', error_description: `This path takes ${allowed}.` })
  }
  const description =
    `Nothing is at this path. The token endpoint is ${issuer}/token, and ${issuer}/.well-known/openid-configuration ` +
    'names the others. No path has a slash at its end.'
  return reply.code(404).send({ error: 'not_found', error_description: description })
}

const malformedUrl = { error: 'invalid_request', error_description: 'The URL is malformed.' }

/** Removes duplicate paths. If the issuer has no path, both forms of a path are equal. */
function each(...paths: string[]): string[] {
  return [...new Set(paths)]
}

function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

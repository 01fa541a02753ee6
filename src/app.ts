import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import type { Config } from './config.ts'
import { type AnsweringSocket, answerBrokenRequest } from './http/broken-request.ts'
import { discoveryRoute } from './http/discovery.ts'
import { type HealthOptions, healthRoute } from './http/health.ts'
import { securityHeaders } from './http/security-headers.ts'
import { keysRoute } from './keys/route.ts'
import type { Verifiers } from './keys/verifier-store.ts'
import type { ClockGuard } from './lib/clock-guard.ts'
import { limits } from './limits.ts'
import { describeError, type Log, type LogRequest, requestLog } from './telemetry/log.ts'
import type { IssueEdges } from './token/issue.ts'
import { tokenRoute } from './token/route.ts'

export interface AppEdges extends IssueEdges {
  readonly clockGuard: ClockGuard
  readonly log: Log
  readonly verifiers: Verifiers
  /** From 0 up to 1. */
  readonly random: () => number
  readonly health: HealthOptions
  /** Names a request in the log, the ledger and the response. */
  readonly requestId: () => string
}

/** Every plugin and route, in order. Starts nothing and listens to nothing. */
export async function buildApp(config: Config, edges: AppEdges): Promise<FastifyInstance> {
  const constantHeaders = await securityHeaders(config.issuer.startsWith('https:'))
  const connections = {
    maxHeaderSize: limits.headerBytesMax,
    connectionsCheckingInterval: limits.connectionCheckIntervalMilliseconds,
  }
  const options = {
    logger: false,
    genReqId: edges.requestId,
    trustProxy: config.trustedProxies.length === 0 ? false : [...config.trustedProxies],
    bodyLimit: limits.bodyBytesMax,
    keepAliveTimeout: limits.keepAliveTimeoutSeconds * 1000,
    requestTimeout: limits.requestTimeoutSeconds * 1000,
    // Requests that arrive on open connections while it closes are served, and told to go elsewhere next.
    return503OnClosing: false,
    forceCloseConnections: 'idle' as const,
    clientErrorHandler: (error: Error & { code?: string }, socket: AnsweringSocket) =>
      answerBrokenRequest(edges.log, constantHeaders, error, socket),
    // A path that is no URL has no route, and nothing of it is repeated.
    frameworkErrors: (_error: Error, request: FastifyRequest, reply: FastifyReply) => {
      reply.headers({ ...constantHeaders, 'x-request-id': request.id, 'cache-control': 'no-store' })
      return reply.code(400).send(malformedUrl)
    },
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: false },
  } satisfies FastifyServerOptions
  // Two calls because Fastify's types tell the two kinds of server apart; one kind is enough for us.
  const app =
    config.tls === undefined
      ? fastify({ ...options, http: connections })
      : (fastify({
          ...options,
          https: { ...connections, ...secureContext(config.tls) },
        }) as unknown as FastifyInstance)
  boundConnections(app.server)
  // Node would answer these by itself, with none of our headers.
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(417, { ...constantHeaders, 'content-length': 0 }).end()
  })
  const issuerPath = new URL(config.issuer).pathname.replace(/\/$/, '')
  const logRequest = requestLog(edges.log)
  await app.register(tokenRoute, {
    ...edges,
    logRequest,
    constantHeaders,
    paths: each('/token', `${issuerPath}/token`),
  })
  await app.register(openRoutes, { config, edges, logRequest, constantHeaders, issuerPath })
  await app.ready()
  return app
}

interface OpenRoutesOptions {
  readonly config: Config
  readonly edges: AppEdges
  readonly logRequest: LogRequest
  readonly constantHeaders: Readonly<Record<string, string>>
  /** The path of the issuer, where it has one. */
  readonly issuerPath: string
}

/** What anybody may read: keys, metadata, health. */
async function openRoutes(
  app: FastifyInstance,
  { config, edges, logRequest, constantHeaders, issuerPath }: OpenRoutesOptions,
): Promise<void> {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...constantHeaders, 'x-request-id': request.id })
  })
  app.addHook('onResponse', async (request, reply) => {
    logRequest({
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMilliseconds: Math.round(reply.elapsedTime * 100) / 100,
      address: request.ip,
    })
  })
  await app.register(keysRoute, {
    keyring: edges.keyring,
    clock: edges.clock,
    clockGuard: edges.clockGuard,
    catchUp: () => edges.registry.catchUp(),
    verifiers: edges.verifiers,
    schedule: config.schedule,
    random: edges.random,
    paths: each('/.well-known/jwks.json', `${issuerPath}/.well-known/jwks.json`),
  })
  await app.register(discoveryRoute, {
    issuer: config.issuer,
    signingAlgorithms: config.signingAlgorithms,
    // RFC 8414 §3.1 puts an issuer's path behind the well-known one; OpenID puts it before.
    paths: each(
      '/.well-known/oauth-authorization-server',
      `/.well-known/oauth-authorization-server${issuerPath}`,
      '/.well-known/openid-configuration',
      `${issuerPath}/.well-known/openid-configuration`,
    ),
  })
  await app.register(healthRoute, edges.health)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500
    reply.code(status).header('cache-control', 'no-store')
    if (status < 500) return reply.send({ error: 'invalid_request' })
    edges.log.error(
      { event: 'fault', requestId: request.id, error: describeError(error) },
      'a request failed',
    )
    return reply.send({ error: 'server_error' })
  })
  app.setNotFoundHandler((request, reply) => {
    reply.header('cache-control', 'no-store')
    // A path that exists for another method (RFC 9110 §15.5.6).
    if (app.hasRoute({ method: 'GET', url: pathOf(request.url) })) {
      return reply.code(405).header('allow', 'GET, HEAD').send({ error: 'method_not_allowed' })
    }
    return reply.code(404).send({ error: 'not_found' })
  })
}

const malformedUrl = { error: 'invalid_request', error_description: 'The URL is malformed.' }

/** Paths without repetition: with an issuer that has no path, two spellings are one. */
function each(...paths: string[]): string[] {
  return [...new Set(paths)]
}

function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

function secureContext(tls: NonNullable<Config['tls']>) {
  return { cert: tls.certificate, key: tls.privateKey, minVersion: 'TLSv1.2' as const }
}

function boundConnections(server: Server): void {
  server.headersTimeout = limits.headersTimeoutSeconds * 1000
  server.maxConnections = limits.connectionsMax
  // Asked now, Node remembers it; of a connection that was reset it could no longer say who it was.
  server.on('connection', (socket: Socket) => socket.remoteAddress)
}

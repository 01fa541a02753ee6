import type { FastifyInstance } from 'fastify'

export interface AuthorizationEndpointOptions {
  readonly issuer: string
  readonly paths: readonly string[]
}

/**
 * The authorization endpoint (RFC 6749 §3.1) of a service that has no interactive grant. Some libraries refuse
 * metadata that names none, also those of callers that never use it (both SDKs of the Model Context Protocol do).
 *
 * A person who is sent here reads why nothing happens. It never redirects: no client has registered a URL, so the one
 * in the request is a stranger's (RFC 6749 §4.1.2.1).
 */
export function authorizationEndpoint(
  app: FastifyInstance,
  { issuer, paths }: AuthorizationEndpointOptions,
  done: () => void,
): void {
  // No part of it comes from the request.
  const text = `error=unsupported_response_type

There is no interactive grant here: nobody can log in or consent. This service issues tokens to machines.
A registered client gets one with POST ${issuer}/token and grant_type=client_credentials.
`
  for (const path of paths) {
    app.get(path, (_request, reply) =>
      reply
        .code(400)
        .headers({ 'cache-control': 'no-store', 'content-type': 'text/plain; charset=utf-8' })
        .send(text),
    )
  }
  done()
}

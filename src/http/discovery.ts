import type { FastifyInstance } from 'fastify'
import { entityTag, noneMatchHolds } from './etag.ts'

/** The metadata of the authorization server (RFC 8414 §2). It does not change while the process runs. */
function serverMetadata(
  issuer: string,
  signingAlgorithms: readonly string[],
): Readonly<Record<string, unknown>> {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    grant_types_supported: ['client_credentials'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    // RFC 8414 and OpenID Connect require these members. A service without users supports none of their
    // features.
    response_types_supported: [],
    subject_types_supported: ['public'],
    // This service issues no ID tokens, but libraries that read the OpenID document require this member.
    id_token_signing_alg_values_supported: signingAlgorithms,
  }
}

export interface DiscoveryOptions {
  readonly issuer: string
  readonly signingAlgorithms: readonly string[]
  readonly paths: readonly string[]
}

export function discoveryRoute(app: FastifyInstance, options: DiscoveryOptions, done: () => void): void {
  const body = JSON.stringify(serverMetadata(options.issuer, options.signingAlgorithms))
  const etag = entityTag(body)
  for (const path of options.paths) {
    app.get(path, (request, reply) => {
      reply.headers({ 'cache-control': 'public, max-age=3600', etag, 'content-type': 'application/json' })
      if (noneMatchHolds(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.send(body)
    })
  }
  done()
}

import { hash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { noneMatchHolds } from '../keys/route.ts'

/** The authorization server's metadata (RFC 8414 §2), the same for as long as the process lives. */
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
    // Required members for which a service without a user has nothing to offer.
    response_types_supported: [],
    subject_types_supported: ['public'],
    // Nobody gets an ID token here; libraries that read the OpenID document insist on the member.
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
  const etag = `"${hash('sha256', body, 'base64url').slice(0, 27)}"`
  for (const path of options.paths) {
    app.get(path, (request, reply) => {
      reply.headers({ 'cache-control': 'public, max-age=3600', etag, 'content-type': 'application/json' })
      if (noneMatchHolds(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.send(body)
    })
  }
  done()
}

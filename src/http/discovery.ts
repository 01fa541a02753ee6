import type { FastifyInstance } from 'fastify'
import { authenticationMethods, certificateMethods } from '../authentication/authenticate.ts'
import type { Keyring } from '../keys/keyring.ts'
import { isPublished } from '../keys/state.ts'
import type { ClockGuard } from '../lib/clock-guard.ts'
import { trustsMetadataClients } from '../registry/client-metadata-prefix.ts'
import type { TrustTable } from '../registry/issuer.ts'
import type { Registry } from '../registry/registry.ts'
import { jwtBearerGrant } from '../token/request.ts'
import { allowEveryOrigin } from './cross-origin.ts'
import { entityTag, noneMatchHolds } from './etag.ts'

/**
 * What signs assertions and DPoP proofs. RS256 is accepted too, from a client that has such a key, but it is not
 * offered. EdDSA has two names (RFC 9864).
 */
const callerAlgorithms = ['ES256', 'EdDSA', 'Ed25519', 'PS256']

/**
 * The metadata of the authorization server (RFC 8414 §2).
 * @param signingAlgorithms those of the keys that are published.
 */
function serverMetadata(
  issuer: string,
  signingAlgorithms: readonly string[],
  { trustsIssuers, trustsMetadataClients: trustsDocuments }: Trusted,
  mtls: MtlsMetadata | undefined,
): Readonly<Record<string, unknown>> {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    // Required by libraries although no grant here uses it (authorization-endpoint.ts).
    authorization_endpoint: `${issuer}/authorize`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    grant_types_supported: trustsIssuers ? ['client_credentials', jwtBearerGrant] : ['client_credentials'],
    token_endpoint_auth_methods_supported: [
      ...authenticationMethods,
      ...(mtls === undefined ? [] : certificateMethods),
    ],
    token_endpoint_auth_signing_alg_values_supported: callerAlgorithms,
    dpop_signing_alg_values_supported: callerAlgorithms,
    // draft-ietf-oauth-client-id-metadata-document, where somebody opted in.
    ...(trustsDocuments ? { client_id_metadata_document_supported: true } : {}),
    // RFC 8414 and OpenID Connect require these members. A service without users supports none of their
    // features. No list may be empty (RFC 8414 §3.2), and libraries refuse an empty one. `none` is the response type of
    // an endpoint that returns nothing (OAuth 2.0 Multiple Response Type Encoding Practices §4).
    response_types_supported: ['none'],
    subject_types_supported: ['public'],
    // This service issues no ID tokens, but libraries that read the OpenID document require this member, and
    // verifiers take from it which algorithms to accept.
    id_token_signing_alg_values_supported: signingAlgorithms,
    // Recommended (OpenID Connect Discovery 1.0 §3). Clouds that are told of an issuer look for them.
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope'],
    ...mtlsMetadata(mtls),
  }
}

interface Trusted {
  /** Whether there is anybody whose assertions are a grant. */
  readonly trustsIssuers: boolean
  /** Whether a client may come whose id is the address of a document about it. */
  readonly trustsMetadataClients: boolean
}

function trustedIn(trust: TrustTable | undefined): Trusted {
  const issuers = [...(trust?.issuers.values() ?? [])]
  return {
    trustsIssuers: issuers.some(({ keys }) => keys.kind !== 'client_metadata'),
    trustsMetadataClients: trustsMetadataClients(trust),
  }
}

/** Where callers are asked for a certificate. */
export interface MtlsMetadata {
  /** The URL of the listener that asks; undefined if the issuer's own does. */
  readonly url: string | undefined
}

/** RFC 8705 §3.3 and §5. */
function mtlsMetadata(mtls: MtlsMetadata | undefined): Readonly<Record<string, unknown>> {
  if (mtls === undefined) return {}
  const aliases = { mtls_endpoint_aliases: { token_endpoint: `${mtls.url}/token` } }
  return {
    tls_client_certificate_bound_access_tokens: true,
    ...(mtls.url === undefined ? {} : aliases),
  }
}

export interface DiscoveryOptions {
  readonly issuer: string
  readonly keyring: Pick<Keyring, 'keys'>
  readonly registry: Pick<Registry, 'trustNow' | 'trust'>
  readonly clockGuard: Pick<ClockGuard, 'trustedSeconds'>
  /** Waits until the keys in memory are recent enough. */
  readonly catchUp: () => Promise<void>
  /**
   * How long a cache may keep the metadata. No longer than the keys: a new algorithm is then known wherever its first
   * key is.
   */
  readonly maxAgeSeconds: number
  readonly mtls: MtlsMetadata | undefined
  readonly paths: readonly string[]
}

export function discoveryRoute(app: FastifyInstance, options: DiscoveryOptions, done: () => void): void {
  const { issuer, keyring, registry, clockGuard, catchUp, maxAgeSeconds, paths } = options
  let document = { made: '', body: '', etag: '' }
  /** Its text is made once for each set of algorithms. */
  function current(): typeof document {
    const published = keyring.keys.filter((key) => isPublished(key, clockGuard.trustedSeconds))
    const algorithms = [...new Set(published.map(({ algorithm }) => algorithm))].sort()
    const trusted = trustedIn(registry.trustNow())
    const made = `${algorithms.join(' ')} ${trusted.trustsIssuers} ${trusted.trustsMetadataClients}`
    if (document.made !== made) {
      const body = JSON.stringify(serverMetadata(issuer, algorithms, trusted, options.mtls))
      document = { made, body, etag: entityTag(body) }
    }
    return document
  }
  allowEveryOrigin(app, paths)
  for (const path of paths) {
    app.get(path, async (request, reply) => {
      await catchUp()
      // Where the database does not answer, memory has to do.
      await registry.trust().catch(() => {})
      const { body, etag } = current()
      reply.headers({
        'cache-control': `public, max-age=${maxAgeSeconds}`,
        etag,
        'content-type': 'application/json',
      })
      if (noneMatchHolds(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.send(body)
    })
  }
  done()
}

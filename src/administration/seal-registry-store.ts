import type { Statements } from '../database/open.ts'
import type { Nodes } from '../registry/seal-tree.ts'
import type { ClientFacts, KeyFacts, ResourceFacts, SecretFacts } from '../registry/statement.ts'
import { type ClientRow, toField } from '../registry/store.ts'

/** The whole registry, as its rows are, for a command that checks all of it. */

export interface RegisteredRow extends ClientFacts {
  readonly clientId: string
  readonly secrets: readonly (SecretFacts & { readonly revokedAt: number | undefined })[]
  readonly keys: readonly (KeyFacts & { readonly revokedAt: number | undefined })[]
}

interface ClientLine {
  client_id: string
  status: ClientFacts['status']
  method: string | null
  networks: string[]
  expires_at: number | null
  secrets: { id: string; hash: string; expires_at: number | null; revoked: boolean }[] | null
  access: { audience: string; scopes: string[] }[] | null
  assertion_audience: 'issuer' | 'token_endpoint'
  certificate: ClientRow['certificate']
  required_certificate: ClientRow['required_certificate']
  certificate_bound_tokens: boolean
  dpop_bound_access_tokens: boolean
  fapi: boolean
  jwks_uri: string | null
  claims: object | null
  keys: { thumbprint: string; algorithm: string; expires_at: number | null; revoked: boolean }[] | null
}

const clientsPerPage = 500

/** A page of ids after one. */
export async function clientIdsAfter(database: Statements, after: string): Promise<string[]> {
  const lines = await database.$queryRaw<{ client_id: string }[]>`
    SELECT client_id FROM client WHERE client_id > ${after} ORDER BY client_id LIMIT ${clientsPerPage}`
  return lines.map((line) => line.client_id)
}

/** Moments are what a process that serves reads. */
export async function registeredClients(
  database: Statements,
  clientIds: readonly string[],
): Promise<RegisteredRow[]> {
  const lines = await database.$queryRaw<ClientLine[]>`
    SELECT c.client_id, c.status, c.token_endpoint_auth_method AS method, c.allowed_networks AS networks,
           (CASE WHEN isfinite(c.expires_at) THEN floor(extract(epoch FROM c.expires_at))
                 WHEN c.expires_at < now() THEN 0 END)::float8 AS expires_at,
           (SELECT jsonb_agg(jsonb_build_object('id', s.secret_id, 'hash', s.hash, 'revoked', s.revoked_at IS NOT NULL,
              'expires_at', CASE WHEN isfinite(s.expires_at) THEN floor(extract(epoch FROM s.expires_at))
                                 WHEN s.expires_at < now() THEN 0 END))
              FROM client_secret s WHERE s.client_id = c.client_id) AS secrets,
           c.assertion_audience, jsonb_build_array(c.certificate_field, c.certificate_value) AS certificate,
           jsonb_build_array(c.required_certificate_field, c.required_certificate_value) AS required_certificate,
           c.certificate_bound_tokens, c.dpop_bound_access_tokens, c.fapi, c.jwks_uri, c.claims,
           (SELECT jsonb_agg(jsonb_build_object('thumbprint', k.thumbprint, 'algorithm', k.algorithm,
              'revoked', k.revoked_at IS NOT NULL,
              'expires_at', CASE WHEN isfinite(k.expires_at) THEN floor(extract(epoch FROM k.expires_at))
                                 WHEN k.expires_at < now() THEN 0 END))
              FROM client_key k WHERE k.client_id = c.client_id) AS keys,
           (SELECT jsonb_agg(jsonb_build_object('audience', a.audience, 'scopes', a.scopes))
              FROM access a WHERE a.client_id = c.client_id) AS access
      FROM client c WHERE c.client_id = ANY(${clientIds}::text[]) ORDER BY c.client_id`
  return lines.map((line) => ({
    clientId: line.client_id,
    status: line.status,
    tokenEndpointAuthMethod: line.method ?? undefined,
    allowedNetworks: line.networks,
    expiresAt: line.expires_at ?? undefined,
    access: line.access ?? [],
    assertionAudience: line.assertion_audience,
    certificateField: toField(line.certificate),
    requiredCertificate: toField(line.required_certificate),
    certificateBoundTokens: line.certificate_bound_tokens,
    dpopBoundTokens: line.dpop_bound_access_tokens,
    fapi: line.fapi,
    jwksUri: line.jwks_uri ?? undefined,
    claims: line.claims ?? undefined,
    keys: (line.keys ?? []).map(({ thumbprint, algorithm, expires_at: expiresAt, revoked }) => ({
      thumbprint,
      algorithm,
      expiresAt: expiresAt ?? undefined,
      revokedAt: revoked ? 0 : undefined,
    })),
    secrets: (line.secrets ?? []).map(({ id, hash, expires_at: expiresAt, revoked }) => ({
      secretId: id,
      hash,
      expiresAt: expiresAt ?? undefined,
      revokedAt: revoked ? 0 : undefined,
    })),
  }))
}

export interface RegisteredResourceRow extends ResourceFacts {
  readonly audience: string
}

interface ResourceLine extends Omit<RegisteredResourceRow, 'subjectForm' | 'claims'> {
  readonly subjectForm: string | null
  readonly claims: object | null
}

export async function registeredResources(database: Statements): Promise<RegisteredResourceRow[]> {
  const rows = await database.$queryRaw<ResourceLine[]>`
    SELECT audience, scopes, token_lifetime_seconds AS "tokenLifetimeSeconds", signing_algorithm AS "signingAlgorithm",
           token_typ AS "tokenTyp", external, subject_form AS "subjectForm", claims
      FROM resource ORDER BY audience`
  return rows.map(({ subjectForm, claims, ...row }) => ({
    ...row,
    subjectForm: subjectForm ?? undefined,
    claims: claims ?? undefined,
  }))
}

/** The whole tree. */
export async function allNodes(database: Statements): Promise<Nodes> {
  const rows = await database.$queryRaw<{ node: string; content: string }[]>`
    SELECT node, content FROM sealed_registry_node`
  return new Map(rows.map(({ node, content }) => [node, content]))
}

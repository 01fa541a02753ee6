import { isFapiAlgorithm } from '../authentication/fapi.ts'
import type { NewSecret } from '../authentication/secret-hash.ts'
import type { Queryable } from '../database/open.ts'
import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'
import { plainText } from '../lib/plain-text.ts'
import { limits } from '../limits.ts'
import type { FixedClaims } from '../registry/fixed-claims.ts'
import { alsoRead, readKeys, toStored } from './client-store.ts'
import type { Registration, ResourceDefinition, StoredClient } from './definition.ts'
import type { Holder, OtherGrant, Plan, RegistryState } from './plan.ts'
import { fapiClients, livingClients, lockIssuers, readIssuers, writeIssuers } from './trust-store.ts'

/**
 * What a plan is made from, and how it is written: many rows in each statement, because a registration may name
 * ten thousand clients. One JSON value carries a whole chunk of rows.
 */
const rowsPerStatementMax = 5_000

export interface SecretToWrite extends NewSecret {
  /** Seconds since 1970; undefined: never. */
  readonly expiresAt?: number | undefined
}

/** @param nowMilliseconds since 1970, to tell which secrets have expired. */
export async function readState(
  database: Queryable,
  definitions: Registration,
  nowMilliseconds: number,
): Promise<RegistryState> {
  const resources = await readResources(database)
  const clients = new Map<string, StoredClient>()
  const clientIds = definitions.clients.map(({ clientId }) => clientId)
  for (const chunk of chunks(clientIds)) {
    for (const client of await readClients(database, chunk, nowMilliseconds))
      clients.set(client.clientId, client)
  }
  const named = new Set(clientIds)
  const otherGrants: OtherGrant[] = []
  for (const { audience, scopes, signingAlgorithm } of definitions.resources) {
    if (!isFapiAlgorithm(signingAlgorithm)) {
      const rows = await database.access.findMany({ where: { audience, client: { fapi: true } } })
      const others = rows.filter(({ clientId }) => !named.has(clientId))
      otherGrants.push(...others.map((row) => ({ ...row, isFapi: true })))
    }
    const removed = (resources.get(audience)?.scopes ?? []).filter((scope) => !scopes.includes(scope))
    if (removed.length === 0) continue
    const rows = await database.access.findMany({ where: { audience, scopes: { hasSome: removed } } })
    otherGrants.push(...rows.filter(({ clientId }) => !named.has(clientId)))
  }
  const holders = await readHolders(database, definitions.resources, named)
  const issuers = await readIssuers(database)
  const ruleClients = (definitions.issuers ?? []).flatMap(({ rules }) =>
    rules.flatMap((rule) => rule.clientId ?? []),
  )
  const clientIdsOfRules = await livingClients(database, ruleClients)
  const trust = {
    issuers,
    clientIds: clientIdsOfRules,
    fapiClientIds: await fapiClients(database, [...clientIdsOfRules]),
  }
  return { resources, clients, otherGrants, holders, trust }
}

/** The clients that may not fit the tokens of these resources. @param named are judged with their new content. */
async function readHolders(
  database: Queryable,
  resources: Registration['resources'],
  named: ReadonlySet<string>,
): Promise<Holder[]> {
  const special = resources.filter(
    ({ claims, subjectForm }) => claims !== undefined || subjectForm !== undefined,
  )
  if (special.length === 0) return []
  const audiences = special.map(({ audience }) => audience)
  const rows = await database.$queryRaw<
    { audience: string; client_id: string; claims: FixedClaims | null }[]
  >`
    SELECT a.audience, c.client_id, c.claims FROM access a JOIN client c USING (client_id)
     WHERE a.audience = ANY(${audiences}::text[]) AND c.status <> 'deleted' ORDER BY c.client_id`
  return rows
    .filter((row) => !named.has(row.client_id))
    .map((row) => ({ audience: row.audience, clientId: row.client_id, claims: row.claims ?? undefined }))
}

export async function readResources(database: Queryable): Promise<Map<string, ResourceDefinition>> {
  const rows = await database.resource.findMany({ orderBy: { audience: 'asc' } })
  return new Map(
    rows.map((row) => [
      row.audience,
      {
        audience: row.audience,
        name: row.name,
        scopes: row.scopes,
        tokenLifetimeSeconds: row.tokenLifetimeSeconds,
        signingAlgorithm: row.signingAlgorithm as SigningAlgorithm,
        tokenTyp: row.tokenTyp as TokenTyp,
        ...(row.external ? { external: true } : {}),
        subjectForm: row.subjectForm ?? undefined,
        claims: (row.claims ?? undefined) as FixedClaims | undefined,
      },
    ]),
  )
}

async function readClients(
  database: Queryable,
  clientIds: readonly string[],
  nowMilliseconds: number,
): Promise<StoredClient[]> {
  const rows = await database.client.findMany({
    where: { clientId: { in: [...clientIds] } },
    include: alsoRead,
  })
  const keys = await readKeys(database, clientIds, nowMilliseconds)
  return rows.map((row) => toStored(row, keys.get(row.clientId) ?? [], nowMilliseconds))
}

/**
 * Locks the rows that are about to be compared and written. Changes made by this program exclude each other
 * anyway. This is for the UPDATE that somebody types into psql meanwhile: it must not be overwritten.
 */
export async function lockRows(
  transaction: Queryable,
  definitions: {
    readonly resources: readonly Pick<Registration['resources'][number], 'audience'>[]
    readonly clients: readonly Pick<Registration['clients'][number], 'clientId'>[]
    readonly issuers?: readonly { readonly issuer: string }[]
  },
): Promise<void> {
  const audiences = definitions.resources.map(({ audience }) => audience)
  await transaction.$queryRaw`SELECT audience FROM resource WHERE audience = ANY(${audiences}::text[]) FOR UPDATE`
  for (const chunk of chunks(definitions.clients.map(({ clientId }) => clientId))) {
    await transaction.$queryRaw`SELECT client_id FROM client WHERE client_id = ANY(${chunk}::text[]) FOR UPDATE`
  }
  await lockIssuers(
    transaction,
    (definitions.issuers ?? []).map(({ issuer }) => issuer),
  )
}

/**
 * Writes whatever the plan changes.
 * @param secrets of the new clients, by client id.
 * @param createdBy who creates the new clients.
 */
export async function writePlan(
  transaction: Queryable,
  plan: Plan,
  secrets: ReadonlyMap<string, SecretToWrite>,
  createdBy?: string,
): Promise<void> {
  const creator = createdBy && plainText(createdBy).slice(0, limits.ownerCharactersMax)
  for (const chunk of chunks(plan.resources.filter(({ status }) => status !== 'unchanged'))) {
    const json = JSON.stringify(chunk.map(({ definition }) => definition))
    await transaction.$executeRaw`
      INSERT INTO resource (audience, name, scopes, token_lifetime_seconds, signing_algorithm, token_typ, external,
                            subject_form, claims)
      SELECT r.audience, r.name, r.scopes, r."tokenLifetimeSeconds", r."signingAlgorithm", r."tokenTyp",
             coalesce(r.external, false), r."subjectForm", r.claims
        FROM jsonb_to_recordset(${json}::jsonb)
          AS r (audience text, name text, scopes text[], "tokenLifetimeSeconds" int,
                "signingAlgorithm" text, "tokenTyp" text, external boolean, "subjectForm" text, claims jsonb)
      ON CONFLICT (audience) DO UPDATE SET name = excluded.name, scopes = excluded.scopes,
        token_lifetime_seconds = excluded.token_lifetime_seconds,
        signing_algorithm = excluded.signing_algorithm, token_typ = excluded.token_typ,
        external = excluded.external, subject_form = excluded.subject_form, claims = excluded.claims,
        updated_at = now()`
  }
  for (const chunk of chunks(
    plan.clients.filter((step) => step.status === 'created' || step.changes.length > 0),
  )) {
    const json = JSON.stringify(
      chunk.map(({ definition, finalStatus }) => ({ ...definition, status: finalStatus })),
    )
    await transaction.$executeRaw`
      INSERT INTO client (client_id, name, token_endpoint_auth_method, status, allowed_networks, expires_at,
                          assertion_audience, certificate_field, certificate_value, required_certificate_field,
                          required_certificate_value, certificate_bound_tokens, dpop_bound_access_tokens, fapi, owner,
                          purpose, kind, jwks_uri, claims, created_by)
      SELECT c."clientId", c.name, c."tokenEndpointAuthMethod", c.status, c."allowedNetworks",
             to_timestamp(c."expiresAt"), c."assertionAudience", c."certificateField" ->> 'name',
             c."certificateField" ->> 'value', c."requiredCertificate" ->> 'name',
             c."requiredCertificate" ->> 'value', coalesce(c."certificateBoundTokens", false), c."dpopBoundTokens",
             coalesce(c.fapi, false), c.owner, c.purpose, c.kind, c."jwksUri", c.claims,
             ${creator ?? null}::text
        FROM jsonb_to_recordset(${json}::jsonb)
          AS c ("clientId" text, name text, "tokenEndpointAuthMethod" text, status text,
                "allowedNetworks" text[], "expiresAt" bigint, "assertionAudience" text,
                "certificateField" jsonb, "requiredCertificate" jsonb, "certificateBoundTokens" boolean,
                 "dpopBoundTokens" boolean, fapi boolean, owner text, purpose text, kind text, "jwksUri" text,
                 claims jsonb)
      ON CONFLICT (client_id) DO UPDATE SET name = excluded.name,
        token_endpoint_auth_method = excluded.token_endpoint_auth_method, status = excluded.status,
        allowed_networks = excluded.allowed_networks, expires_at = excluded.expires_at,
        assertion_audience = excluded.assertion_audience, certificate_field = excluded.certificate_field,
        certificate_value = excluded.certificate_value,
        required_certificate_field = excluded.required_certificate_field,
        required_certificate_value = excluded.required_certificate_value,
        certificate_bound_tokens = excluded.certificate_bound_tokens,
         dpop_bound_access_tokens = excluded.dpop_bound_access_tokens, fapi = excluded.fapi, owner = excluded.owner,
         purpose = excluded.purpose, kind = excluded.kind, jwks_uri = excluded.jwks_uri, claims = excluded.claims,
         updated_at = now()`
  }
  await writeKeys(transaction, plan)
  await writeSecrets(transaction, secrets)
  await writeAccess(transaction, plan)
  await writeIssuers(transaction, plan.issuers)
}

async function writeSecrets(
  transaction: Queryable,
  secrets: ReadonlyMap<string, SecretToWrite>,
): Promise<void> {
  // Picked one by one, because the secret itself must not get near a statement.
  const rows = [...secrets].map(([clientId, { secretId, hash, hint, expiresAt }]) => {
    return { clientId, secretId, hash, hint, expiresAt }
  })
  for (const chunk of chunks(rows)) {
    const json = JSON.stringify(chunk)
    await transaction.$executeRaw`
      INSERT INTO client_secret (secret_id, client_id, hash, hint, expires_at)
      SELECT s."secretId", s."clientId", s.hash, s.hint, to_timestamp(s."expiresAt")
        FROM jsonb_to_recordset(${json}::jsonb)
          AS s ("secretId" text, "clientId" text, hash text, hint text, "expiresAt" bigint)`
  }
}

async function writeKeys(transaction: Queryable, plan: Plan): Promise<void> {
  const steps = plan.clients.flatMap(({ definition: { clientId }, keys }) =>
    keys.map(({ key, outcome }) => ({ clientId, outcome, ...key })),
  )
  for (const chunk of chunks(steps.filter(({ outcome }) => outcome === 'revoked'))) {
    await transaction.$executeRaw`
      UPDATE client_key SET revoked_at = now()
        FROM jsonb_to_recordset(${JSON.stringify(chunk)}::jsonb) AS k ("clientId" text, thumbprint text)
       WHERE client_key.client_id = k."clientId" AND client_key.thumbprint = k.thumbprint`
  }
  for (const chunk of chunks(steps.filter(({ outcome }) => outcome !== 'revoked'))) {
    await transaction.$executeRaw`
      INSERT INTO client_key (client_id, thumbprint, kid, algorithm, public_jwk)
      SELECT k."clientId", k.thumbprint, k.kid, k.algorithm, k."publicJwk"
        FROM jsonb_to_recordset(${JSON.stringify(chunk)}::jsonb)
          AS k ("clientId" text, thumbprint text, kid text, algorithm text, "publicJwk" jsonb)
      ON CONFLICT (client_id, thumbprint) DO UPDATE SET kid = excluded.kid, algorithm = excluded.algorithm`
  }
}

async function writeAccess(transaction: Queryable, plan: Plan): Promise<void> {
  const steps = plan.clients.flatMap(({ definition, access }) =>
    access.map(({ access: { audience, scopes }, outcome }) => ({
      clientId: definition.clientId,
      audience,
      scopes,
      outcome,
    })),
  )
  for (const chunk of chunks(steps.filter(({ outcome }) => outcome === 'deleted'))) {
    const json = JSON.stringify(chunk)
    await transaction.$executeRaw`
      DELETE FROM access USING jsonb_to_recordset(${json}::jsonb) AS a ("clientId" text, audience text)
       WHERE access.client_id = a."clientId" AND access.audience = a.audience`
  }
  for (const chunk of chunks(steps.filter(({ outcome }) => outcome !== 'deleted'))) {
    const json = JSON.stringify(chunk)
    await transaction.$executeRaw`
      INSERT INTO access (client_id, audience, scopes)
      SELECT a."clientId", a.audience, a.scopes
        FROM jsonb_to_recordset(${json}::jsonb) AS a ("clientId" text, audience text, scopes text[])
      ON CONFLICT (client_id, audience) DO UPDATE SET scopes = excluded.scopes, updated_at = now()`
  }
}

export async function isRegistryEmpty(database: Queryable): Promise<boolean> {
  const [client, resource] = await Promise.all([
    database.client.findFirst({ select: { clientId: true } }),
    database.resource.findFirst({ select: { audience: true } }),
  ])
  return client === null && resource === null
}

function chunks<Row>(rows: readonly Row[]): Row[][] {
  const result: Row[][] = []
  for (let start = 0; start < rows.length; start += rowsPerStatementMax) {
    result.push(rows.slice(start, start + rowsPerStatementMax))
  }
  return result
}

import { readVersion } from '../database/history.ts'
import type { Pool, Statements } from '../database/open.ts'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { type Network, parseNetwork } from '../lib/network.ts'
import { limits } from '../limits.ts'
import type {
  CertificateField,
  CertificateFieldName,
  RegisteredClient,
  RegisteredResource,
  RegisteredSecret,
} from './client.ts'
import { readFixedClaims } from './fixed-claims.ts'
import { isScopeToken } from './grammar.ts'
import { type KeyRow, keyObject, seconds, secondsOfRevocation, toKey } from './key-store.ts'
import type { ClientPresence, Pair, Presence } from './look-up.ts'
import { type ResourceRow, resourceObject, toResource } from './resource-store.ts'

/**
 * The registry's two reads. Each is one statement, so that the version and what goes with it come from
 * one moment; each costs one round trip, for one client or for five hundred.
 */

export interface LoadedClients {
  readonly version: number
  readonly clients: readonly RegisteredClient[]
  /** Every resource these clients have access to. */
  readonly resources: readonly RegisteredResource[]
  /** The audiences of those that a sealed registry does not have. */
  readonly unsealedResources?: readonly string[]
}

export interface LoadedChanges {
  readonly version: number
  /** Whether this database has ever been at the given version. If not, it is not the database that commits. */
  readonly knowsHeard: boolean
  /** Whether it is a standby, or takes no changes for another reason. */
  readonly isReadOnly: boolean
  /** The database's clock, in seconds since 1970. */
  readonly databaseSeconds: number
  /** Subject and id, for example `['client', 'billing']`; undefined when there are too many to follow. */
  readonly changes: readonly (readonly [subject: string, subjectId: string])[] | undefined
}

export interface ClientRow {
  client_id: string
  status: 'active' | 'disabled' | 'deleted'
  method: string | null
  networks: string[]
  expires_at: number | null
  secrets: SecretRow[] | null
  keys: KeyRow[] | null
  assertion_audience: RegisteredClient['assertionAudience']
  certificate?: CertificateColumns
  required_certificate?: CertificateColumns
  certificate_bound?: boolean
  dpop_bound_access_tokens: boolean
  fapi?: boolean
  jwks_uri?: string | null
  claims?: unknown
  access: { audience: string; scopes: string[] }[] | null
}

/** Both are null where there is none. */
type CertificateColumns = [field: CertificateFieldName | null, value: string | null]

export interface SecretRow {
  secret_id: string
  hash: string
  expires_at: number | null
  revoked_at: number | null
  tag_key: string | null
  tag: string | null
}

/**
 * Also the beginning of the statement that reads what is sealed (seal-store.ts). It makes json and not jsonb, which costs
 * the database a third less: the result is only text to be sent.
 *
 * A plan that is made without statistics, or while there are few tags, would go through all tags for each client, and stay.
 * LATERAL with OFFSET, and ARRAY, leave nothing but the indexes.
 */
export const clientsStatement = `
  SELECT
    (SELECT version FROM registry_version) AS version,
    (SELECT json_agg(json_build_object(
       'client_id', c.client_id, 'status', c.status, 'method', c.token_endpoint_auth_method,
       'networks', c.allowed_networks, 'expires_at', ${seconds('c.expires_at')},
       'secrets', (SELECT json_agg(json_build_object('secret_id', s.secret_id, 'hash', s.hash,
            'expires_at', ${seconds('s.expires_at')},
            'revoked_at', ${secondsOfRevocation('s.revoked_at')},
            'tag_key', t.key_encryption_key_id, 'tag', encode(t.tag || t.seal, 'hex')))
          FROM client_secret s LEFT JOIN LATERAL
            (SELECT * FROM client_secret_tag WHERE secret_id = s.secret_id OFFSET 0) t ON true
          WHERE s.client_id = c.client_id),
       'assertion_audience', c.assertion_audience,
       'certificate', json_build_array(c.certificate_field, c.certificate_value),
       'required_certificate', json_build_array(c.required_certificate_field, c.required_certificate_value),
       'certificate_bound', c.certificate_bound_tokens, 'dpop_bound_access_tokens', c.dpop_bound_access_tokens,
       'fapi', c.fapi, 'jwks_uri', c.jwks_uri, 'claims', c.claims,
       'keys', (SELECT json_agg(${keyObject} ORDER BY k.created_at) FROM client_key k WHERE k.client_id = c.client_id),
       'access', (SELECT json_agg(json_build_object('audience', a.audience, 'scopes', a.scopes))
          FROM access a WHERE a.client_id = c.client_id)))
     FROM client c WHERE c.client_id = ANY($1)) AS clients,
    (SELECT json_agg(${resourceObject})
     FROM resource r WHERE r.audience = ANY(ARRAY(SELECT audience FROM access WHERE client_id = ANY($1)))) AS resources`

const changesStatement = `
  SELECT
    (SELECT version FROM registry_version) AS version,
    EXISTS (SELECT 1 FROM registry_change_set WHERE version = $1) AS known,
    EXISTS (SELECT 1 FROM registry_change_set WHERE version = $3) AS knows_heard,
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only,
    extract(epoch FROM clock_timestamp())::text AS now,
    (SELECT jsonb_agg(DISTINCT jsonb_build_array(subject, subject_id)) FROM
      (SELECT subject, subject_id FROM registry_change JOIN registry_change_set USING (set_id)
       WHERE version > $1 LIMIT $2) AS recent) AS changes`

export async function loadClients(pool: Pool, clientIds: readonly string[]): Promise<LoadedClients> {
  const { rows } = await pool.query<{
    version: string
    clients: ClientRow[] | null
    resources: ResourceRow[] | null
  }>({ name: 'registry_clients', text: clientsStatement, values: [clientIds] })
  const row = rows[0]
  if (row === undefined) throw new Error('the registry has no version row')
  return {
    version: readVersion(row.version),
    clients: (row.clients ?? []).map(toClient),
    resources: (row.resources ?? []).map(toResource),
  }
}

/** @param heardVersion one that a commit has answered with. */
export async function loadChanges(
  pool: Pool,
  sinceVersion: number,
  heardVersion = sinceVersion,
): Promise<LoadedChanges> {
  const most = limits.registryChangesPerRefreshMax + 1
  const { rows } = await pool.query<{
    version: string
    known: boolean
    knows_heard: boolean
    read_only: boolean
    now: string
    changes: [string, string][] | null
  }>({
    name: 'registry_changes',
    text: changesStatement,
    values: [sinceVersion, most, heardVersion],
  })
  const row = rows[0]
  if (row === undefined) throw new Error('the registry has no version row')
  const version = readVersion(row.version)
  const changes = row.changes ?? []
  // A version that the log does not know is too old, or from a history that this database did not have: a
  // failover lost it, or a backup was restored. Then nothing that was remembered of it counts.
  const followable = version === sinceVersion || (row.known && changes.length < most)
  return {
    version,
    // The version before the first change is in no log.
    knowsHeard: row.knows_heard || heardVersion === version || heardVersion === 0,
    isReadOnly: row.read_only,
    databaseSeconds: Number(row.now),
    changes: followable ? changes : undefined,
  }
}

/** The algorithms that resources name. There must be keys for them, whatever else is configured. */
export async function algorithmsInUse(database: Statements): Promise<SigningAlgorithm[]> {
  const rows = await database.$queryRaw<{ algorithm: SigningAlgorithm }[]>`
    SELECT DISTINCT signing_algorithm AS algorithm FROM resource`
  return rows.map(({ algorithm }) => algorithm)
}

const presencesStatement = `
  SELECT (SELECT version FROM registry_version) AS version,
    (SELECT json_agg(json_build_array(c.status, ${seconds('c.expires_at')},
         EXISTS (SELECT 1 FROM client_secret s WHERE s.client_id = p.client_id),
         EXISTS (SELECT 1 FROM client_secret s WHERE s.client_id = p.client_id AND s.secret_id = p.secret_id))
       ORDER BY p.place)
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p (client_id, secret_id, place)
     LEFT JOIN client c ON c.client_id = p.client_id) AS presences`

/** Whether these clients and these secrets of theirs exist, in the order of the pairs. */
export async function readPresences(pool: Pool, pairs: readonly Pair[]): Promise<Presence[]> {
  const { rows } = await pool.query<{
    version: string
    presences: [ClientPresence['status'] | null, number | null, boolean, boolean][] | null
  }>({
    name: 'registry_presences',
    text: presencesStatement,
    values: [pairs.map(([clientId]) => clientId), pairs.map(([, secretId]) => secretId)],
  })
  const [row] = rows
  if (row === undefined) throw new Error('the registry has no version row')
  const version = readVersion(row.version)
  return (row.presences ?? []).map(([status, expiresAt, hasSecrets, hasSecret]) => ({
    version,
    client: status === null ? undefined : { status, expiresAt: expiresAt ?? undefined, hasSecrets },
    hasSecret,
  }))
}

/**
 * A client with a row that cannot be read is refused for that reason. The other clients of the same read are served.
 */
export function toClient(row: ClientRow): RegisteredClient {
  try {
    return readClient(row)
  } catch {
    const nothing = {
      allowedNetworks: [],
      expiresAt: undefined,
      secrets: new Map(),
      keys: [],
      access: new Map(),
    }
    const { client_id: clientId, method, assertion_audience: assertionAudience } = row
    const { dpop_bound_access_tokens: dpopBoundTokens } = row
    const told = {
      clientId,
      tokenEndpointAuthMethod: method ?? undefined,
      assertionAudience,
      dpopBoundTokens,
    }
    return { ...told, status: 'unreadable', ...nothing }
  }
}

/** @throws if a row of the client cannot be understood. */
function readClient(row: ClientRow): RegisteredClient {
  return {
    clientId: row.client_id,
    status: row.status,
    tokenEndpointAuthMethod: row.method ?? undefined,
    allowedNetworks: toNetworks(row.networks),
    expiresAt: row.expires_at ?? undefined,
    secrets: new Map((row.secrets ?? []).map((secret) => [secret.secret_id, toSecret(secret)])),
    keys: (row.keys ?? []).map(toKey),
    assertionAudience: row.assertion_audience,
    certificateField: toField(row.certificate),
    requiredCertificate: toField(row.required_certificate),
    certificateBoundTokens: row.certificate_bound ?? false,
    dpopBoundTokens: row.dpop_bound_access_tokens,
    ...(row.fapi === true ? { fapi: true } : {}),
    jwksUri: row.jwks_uri ?? undefined,
    claims: readFixedClaims(row.claims),
    access: new Map((row.access ?? []).map(({ audience, scopes }) => [audience, toScopes(scopes)])),
  }
}

export function toField([name, value]: CertificateColumns = [null, null]): CertificateField | undefined {
  return name === null || value === null ? undefined : { name, value }
}

function toSecret(row: SecretRow): RegisteredSecret {
  return {
    secretId: row.secret_id,
    hash: row.hash,
    expiresAt: row.expires_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
    tag:
      row.tag_key === null || row.tag === null
        ? undefined
        : { keyEncryptionKeyId: row.tag_key, bytes: Buffer.from(row.tag, 'hex').toString('latin1') },
  }
}

function toScopes(scopes: readonly unknown[]): string[] {
  return scopes.map((scope) => {
    if (typeof scope === 'string' && isScopeToken(scope)) return scope
    throw new Error('a scope is no scope token')
  })
}

/** A network that a hand-written UPDATE left unreadable admits nobody; dropping it could admit everybody. */
function toNetworks(texts: readonly string[]): Network[] {
  const networks: Network[] = []
  for (const text of texts) {
    try {
      networks.push(parseNetwork(text))
    } catch {
      networks.push(parseNetwork('255.255.255.255/32'))
    }
  }
  return networks
}

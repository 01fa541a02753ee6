import { readVersion } from '../database/history.ts'
import type { Pool } from '../database/open.ts'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import type { RegisteredKey } from './client.ts'
import type { ClientPresence, KeyPresence, Pair } from './look-up.ts'

/** How the keys of clients are read: with their clients (store.ts), and for an assertion that no key in memory verifies. */

export interface KeyRow {
  thumbprint: string
  kid: string | null
  algorithm: SigningAlgorithm
  jwk: Record<string, string>
  expires_at: number | null
  revoked_at: number | null
}

/**
 * A moment in whole seconds since 1970. JSON has no infinite numbers: one row with such a moment would fail the read for
 * all clients in it. `infinity` is never, and `-infinity` long ago.
 */
export const seconds = (column: string): string =>
  `CASE WHEN isfinite(${column}) THEN floor(extract(epoch FROM ${column})) WHEN ${column} < now() THEN 0 END`

/** The same for a revocation: a moment that is not finite is long ago. */
export const secondsOfRevocation = (column: string): string =>
  `CASE WHEN isfinite(${column}) THEN floor(extract(epoch FROM ${column})) WHEN ${column} IS NOT NULL THEN 0 END`

/** A row `k` of client_key. */
export const keyObject = `json_build_object('thumbprint', k.thumbprint, 'kid', k.kid, 'algorithm', k.algorithm,
  'jwk', k.public_jwk, 'expires_at', ${seconds('k.expires_at')}, 'revoked_at', ${secondsOfRevocation('k.revoked_at')})`

const keyPresencesStatement = `
  SELECT (SELECT version FROM registry_version) AS version,
    (SELECT json_agg(json_build_array(c.status, ${seconds('c.expires_at')},
         EXISTS (SELECT 1 FROM client_key k WHERE k.client_id = p.client_id),
         (SELECT json_agg(${keyObject} ORDER BY k.created_at) FROM client_key k
           WHERE k.client_id = p.client_id AND (p.kid = '' OR k.kid = p.kid OR k.thumbprint = p.kid)), c.jwks_uri)
       ORDER BY p.place)
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p (client_id, kid, place)
     LEFT JOIN client c ON c.client_id = p.client_id) AS presences`

/** Whether these clients exist, and their keys of that name; all of them for an empty one. In the order of the pairs. */
export async function readKeyPresences(pool: Pool, pairs: readonly Pair[]): Promise<KeyPresence[]> {
  const { rows } = await pool.query<{
    version: string
    presences:
      | [ClientPresence['status'] | null, number | null, boolean, KeyRow[] | null, string | null][]
      | null
  }>({
    name: 'registry_key_presences',
    text: keyPresencesStatement,
    values: [pairs.map(([clientId]) => sayable(clientId)), pairs.map(([, kid]) => sayable(kid))],
  })
  const [row] = rows
  if (row === undefined) throw new Error('the registry has no version row')
  const version = readVersion(row.version)
  return (row.presences ?? []).map(([status, expiresAt, hasKeys, keys, jwksUri]) => ({
    version,
    client:
      status === null
        ? undefined
        : { status, expiresAt: expiresAt ?? undefined, hasKeys, jwksUri: jwksUri ?? undefined },
    keys: (keys ?? []).map(toKey),
  }))
}

/** The database takes no text with NUL, and nothing that is registered has one. */
const sayable = (text: string): string => text.replaceAll('\0', ' ')

/** What is in the key is read when it is used (authentication/client-key.ts): one that is unusable spoils no other. */
export function toKey(row: KeyRow): RegisteredKey {
  return {
    thumbprint: row.thumbprint,
    kid: row.kid ?? undefined,
    algorithm: row.algorithm,
    publicJwk: row.jwk,
    expiresAt: row.expires_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
  }
}

import { readVersion } from '../database/history.ts'
import type { Pool } from '../database/open.ts'
import type { RegisteredClient } from './client.ts'
import { type KeyRow, keyObject, seconds, toKey } from './key-store.ts'
import type { Pair } from './look-up.ts'
import { type ClientRow, toField } from './store.ts'

/** How clients are read for a certificate that does not fit the client in memory: many questions with one read. */

/** Which certificates a client is known by, read after the question was asked. */
export interface CertificatePresence {
  readonly version: number
  /** Undefined when there is no client of that id. */
  readonly client: CertifiedClient | undefined
}

/** The part of a client that says which certificates are its own. */
export type CertifiedClient = Pick<
  RegisteredClient,
  'status' | 'expiresAt' | 'tokenEndpointAuthMethod' | 'certificateField' | 'keys'
>

const presencesStatement = `
  SELECT (SELECT version FROM registry_version) AS version,
    (SELECT json_agg(json_build_array(c.status, ${seconds('c.expires_at')}, c.token_endpoint_auth_method,
         json_build_array(c.certificate_field, c.certificate_value),
         (SELECT json_agg(${keyObject} ORDER BY k.created_at) FROM client_key k WHERE k.client_id = p.client_id))
       ORDER BY p.place)
     FROM unnest($1::text[]) WITH ORDINALITY AS p (client_id, place)
     LEFT JOIN client c ON c.client_id = p.client_id) AS presences`

type PresenceRow = [
  status: 'active' | 'disabled' | 'deleted' | null,
  expiresAt: number | null,
  method: string | null,
  certificate: ClientRow['certificate'],
  keys: KeyRow[] | null,
]

/** In the order of the pairs, of which only the clients matter. */
export async function readCertificatePresences(
  pool: Pool,
  pairs: readonly Pair[],
): Promise<CertificatePresence[]> {
  const { rows } = await pool.query<{ version: string; presences: PresenceRow[] | null }>({
    name: 'registry_certificate_presences',
    text: presencesStatement,
    // The database takes no text with NUL, and nothing that is registered has one.
    values: [pairs.map(([clientId]) => clientId.replaceAll('\0', ' '))],
  })
  const [row] = rows
  if (row === undefined) throw new Error('the registry has no version row')
  const version = readVersion(row.version)
  return (row.presences ?? []).map(([status, expiresAt, method, certificate, keys]) => ({
    version,
    client:
      status === null
        ? undefined
        : {
            status,
            expiresAt: expiresAt ?? undefined,
            tokenEndpointAuthMethod: method ?? undefined,
            certificateField: toField(certificate),
            keys: (keys ?? []).map(toKey),
          },
  }))
}

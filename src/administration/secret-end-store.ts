import { type EndingSecret, isWorthWarning } from '../authentication/secret-expiry.ts'
import { errorCode } from '../database/faults.ts'
import type { Statements } from '../database/open.ts'
import type { ChainHead } from '../ledger/chain.ts'
import { limits } from '../limits.ts'

/** Secrets that end: those that an operator must be warned about, and those that are no longer used. */

type Reader = Pick<Statements, '$queryRaw'>

/** Secrets that one look tells of. */
const endingMax = 1_000

/** The secrets that somebody has to hear of, the next end first. @param clientId only those of this client. */
export async function findExpiring(
  database: Reader,
  now: number,
  clientId?: string,
): Promise<EndingSecret[]> {
  const rows = await database.$queryRaw<
    (Omit<EndingSecret, 'replacedAt' | 'lastUsedAt'> & {
      replacedAt: number | null
      lastUsedAt: number | null
    })[]
  >`
    SELECT s.secret_id AS "secretId", s.client_id AS "clientId",
           extract(epoch FROM s.created_at)::float8 AS "createdAt",
           floor(extract(epoch FROM s.expires_at))::float8 AS "expiresAt",
           extract(epoch FROM o.started_at)::float8 AS "replacedAt",
           extract(epoch FROM u.last_used_at)::float8 AS "lastUsedAt",
           EXISTS (SELECT 1 FROM client_secret l WHERE l.client_id = s.client_id AND l.revoked_at IS NULL
                      AND (l.expires_at IS NULL OR l.expires_at > s.expires_at))
           OR (c.token_endpoint_auth_method IS NULL
               AND (c.certificate_field IS NOT NULL OR EXISTS (SELECT 1 FROM client_key k WHERE k.client_id = s.client_id AND k.revoked_at IS NULL
                              AND (k.expires_at IS NULL OR k.expires_at > s.expires_at)))) AS "hasLater"
      FROM client_secret s JOIN client c ON c.client_id = s.client_id
      LEFT JOIN client_secret_overlap o ON o.secret_id = s.secret_id
      LEFT JOIN client_secret_use u ON u.secret_id = s.secret_id
     WHERE s.revoked_at IS NULL AND s.expires_at > now()
       AND s.expires_at < now() + ${limits.secretWarningSeconds}::int * interval '1 second'
       AND c.status = 'active' AND (c.expires_at IS NULL OR c.expires_at > s.expires_at)
       AND (c.token_endpoint_auth_method IS NULL OR c.token_endpoint_auth_method LIKE 'client\\_secret\\_%')
       AND (${clientId ?? null}::text IS NULL OR s.client_id = ${clientId ?? null}::text)
     ORDER BY s.expires_at, s.secret_id LIMIT ${endingMax}::int`
  return rows
    .map((row) => ({
      ...row,
      replacedAt: row.replacedAt ?? undefined,
      lastUsedAt: row.lastUsedAt ?? undefined,
    }))
    .filter((secret) => isWorthWarning(secret, now))
}

/** A replaced secret that nobody has used for as long as was said. Moments in seconds since 1970. */
export interface UnusedSecret {
  readonly secretId: string
  readonly clientId: string
  readonly replacedBy: string
  readonly unusedSeconds: number
  readonly lastUsedAt: number | null
  /** The end that it would have had. */
  readonly expiresAt: number | null
  /** By the clock of the database. */
  readonly now: number
}

/** Secrets that one look ends. */
const endedMax = 500

/**
 * Notes that a process watches, and finds the secrets that are due. After a pause the time without use starts again:
 * while no process ran, nobody could use the secret. The database judges each again when it ends it
 * (registry_end_unused_secret). A time without use that is as long as its column does not fail the read of all others.
 */
export async function watchUnused(database: Statements): Promise<UnusedSecret[]> {
  // One process is enough for each look.
  await database.$executeRaw`
    UPDATE client_secret_overlap o
       SET watched_since = CASE WHEN watched_at < now() - interval '3 minutes' THEN now() ELSE watched_since END,
           watched_at = now()
      FROM client_secret s
     WHERE s.secret_id = o.secret_id AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())
       AND o.unused_seconds IS NOT NULL AND o.watched_at < now() - interval '20 seconds'`
  return await database.$queryRaw<UnusedSecret[]>`
    SELECT s.secret_id AS "secretId", s.client_id AS "clientId", o.replaced_by AS "replacedBy",
           o.unused_seconds AS "unusedSeconds",
           floor(extract(epoch FROM u.last_used_at))::float8 AS "lastUsedAt",
           floor(extract(epoch FROM s.expires_at))::float8 AS "expiresAt",
           floor(extract(epoch FROM now()))::float8 AS now
      FROM client_secret_overlap o JOIN client_secret s ON s.secret_id = o.secret_id
      LEFT JOIN client_secret_use u ON u.secret_id = o.secret_id
     WHERE s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())
       AND greatest(o.watched_since, u.last_used_at) < now() - (o.unused_seconds::bigint + 60) * interval '1 second'
     ORDER BY s.secret_id LIMIT ${endedMax}::int`
}

/** Ends a secret together with its record. @returns false if it is not over any more, or another process was faster. */
export async function endUnused(
  database: Statements,
  secretId: string,
  { chain, hash: genesis }: ChainHead,
  openedBy: string,
  json: string,
): Promise<boolean> {
  try {
    const [row] = await database.$queryRaw<{ ended: boolean }[]>`
      SELECT ledger_end_unused_secret(${secretId}, ${chain}::int, ${genesis}, ${openedBy}, ${json}::jsonb) AS ended`
    return row?.ended === true
  } catch (error) {
    // Somebody changes the registry at this moment. The next look tries again.
    if (errorCode(error) === '55P03') return false
    throw error
  }
}

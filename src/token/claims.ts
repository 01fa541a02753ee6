import type { Grant } from './decide.ts'

/** The claims of an access token (RFC 9068 §2.2). Times in seconds since 1970. */
export interface AccessTokenClaims {
  readonly iss: string
  readonly sub: string
  readonly client_id: string
  readonly aud: string
  readonly scope?: string
  readonly iat: number
  readonly exp: number
  readonly jti: string
}

/**
 * A `jti` (RFC 9068 §2.2): a UUID of version 7 (RFC 9562 §5.7). Its first 48 bits are the time, so that the ledger's
 * index of them grows at one end; random ones would touch all of it at every commit.
 * @param randomId a random UUID (version 4), whose other bits it keeps.
 */
export function tokenId(nowMilliseconds: number, randomId: string): string {
  const time = nowMilliseconds.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomId.slice(15)}`
}

export function accessTokenClaims(issuer: string, grant: Grant, now: number, jti: string): AccessTokenClaims {
  const scope = grant.scopes.join(' ')
  return {
    iss: issuer,
    sub: grant.clientId,
    client_id: grant.clientId,
    aud: grant.audience,
    // RFC 9068 §2.2.3: present when there is something to say.
    ...(scope === '' ? {} : { scope }),
    iat: now,
    exp: now + grant.lifetimeSeconds,
    jti,
  }
}

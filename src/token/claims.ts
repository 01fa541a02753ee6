import type { Confirmation, Grant } from './decide.ts'

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
  /** RFC 7800. */
  readonly cnf?: Confirmation
}

export function accessTokenClaims(issuer: string, grant: Grant, now: number, jti: string): AccessTokenClaims {
  const scope = grant.scopes.join(' ')
  return {
    // First, so that none of them can stand for a claim of the service.
    ...grant.claims,
    iss: issuer,
    sub: grant.subject ?? grant.clientId,
    client_id: grant.publicClientId ?? grant.clientId,
    aud: grant.audience,
    // RFC 9068 §2.2.3: the claim is absent if the token has no scope.
    ...(scope === '' ? {} : { scope }),
    iat: now,
    exp: now + grant.lifetimeSeconds,
    jti,
    ...(grant.confirmation === undefined ? {} : { cnf: grant.confirmation }),
  }
}

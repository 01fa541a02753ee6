import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'
import type { RegisteredResource } from './client.ts'
import { type FixedClaims, readFixedClaims } from './fixed-claims.ts'
import { isScopeToken } from './grammar.ts'

/** A resource as the statements read it, which read clients or rules with it (store.ts, trust-store.ts). */

export interface ResourceRow {
  audience: string
  scopes: string[]
  lifetime: number
  algorithm: SigningAlgorithm
  typ: TokenTyp
  external?: boolean
  subject_form?: string | null
  claims?: unknown
}

/** A resource as JSON. `r` is its row. */
export const resourceObject = `json_build_object('audience', r.audience, 'scopes', r.scopes,
       'lifetime', r.token_lifetime_seconds, 'algorithm', r.signing_algorithm, 'typ', r.token_typ,
       'external', r.external, 'subject_form', r.subject_form, 'claims', r.claims)`

/** A resource is for several clients. A scope that cannot be read is left out of tokens. The other scopes stay. */
export function toResource(row: ResourceRow): RegisteredResource {
  const claims = toClaims(row.claims)
  return {
    audience: row.audience,
    scopes: new Set((row.scopes ?? []).filter((scope) => typeof scope === 'string' && isScopeToken(scope))),
    tokenLifetimeSeconds: row.lifetime,
    signingAlgorithm: row.algorithm,
    tokenTyp: row.typ,
    ...(row.external === true ? { external: true } : {}),
    ...(typeof row.subject_form === 'string' ? { subjectForm: row.subject_form } : {}),
    ...(claims === undefined ? {} : { claims }),
  }
}

/** If the claims cannot be read, there are no tokens (decide.ts), because somebody may rely on a claim. */
function toClaims(value: unknown): FixedClaims | 'unreadable' | undefined {
  try {
    return readFixedClaims(value)
  } catch {
    return 'unreadable'
  }
}

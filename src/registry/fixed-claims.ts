import { plainText } from '../lib/plain-text.ts'
import { limits } from '../limits.ts'

/**
 * Claims that are registered with a client or a resource and stand in every token of it: a tenant, a workload id. They
 * are data for the services that read the token. The names that say what a token means are reserved: no registration
 * can set them.
 */
export type FixedClaims = Readonly<Record<string, FixedClaimValue>>

export type FixedClaimValue = string | number | boolean | readonly string[]

/** What is wrong with a claim, or with all of them together. */
export type FixedClaimProblem =
  | { readonly kind: 'malformed' | 'reserved' | 'value'; readonly name: string }
  | { readonly kind: 'too_many' | 'too_large' }

/** A name, or a URI as name (RFC 7519 §4.2). None begins with an underscore, which languages use for names of their own. */
export const fixedClaimForm = /^[A-Za-z](?:[A-Za-z0-9._:/@~-]*[A-Za-z0-9_])?$/

/**
 * Names that mean something to a service that verifies a token. They are refused in any case of letters and with any
 * marks between words, because some libraries do not tell one from the other, and some look for `clientId` where others
 * have `client_id`.
 */
const reserved: ReadonlySet<string> = new Set(
  [
    // What the token is, who has it and how long it counts (RFC 7519 §4.1, RFC 9068 §2.2, RFC 8693 §4, RFC 7800).
    'iss sub aud exp nbf iat jti client_id cnf act may_act scope scp azp typ alg kid',
    // Only its access says what a client may do, for each resource (RFC 9068 §2.2.3.1).
    'scopes roles groups entitlements permissions authorities authorization_details',
    'role group entitlement permission authority privileges',
    // The same, and who the client is, as Microsoft and Okta call it.
    'wids idtyp appid oid cid',
    // How somebody logged in (OpenID Connect Core 1.0 §2, RFC 9470).
    'nonce auth_time acr amr vot vtm at_hash c_hash s_hash sid session_state events sub_id sub_jwk trust_framework',
    // Who a person is (OpenID Connect Core 1.0 §5.1). A token of this service stands for a machine.
    'name given_name family_name middle_name nickname preferred_username username upn unique_name profile picture website',
    'email email_verified gender birthdate zoneinfo locale phone_number phone_number_verified address updated_at verified_claims',
    // What an answer about a token says (RFC 7662 §2.2), and where a status stands.
    'active token_type token_introspection status jwk jwks jku x5c x5t x5u crit htm htu ath',
  ].flatMap((names) => names.split(' ').map(withoutMarks)),
)

/** Under these .NET has the subject and the roles of a token, whether it made them of `sub` and `roles` or found them there. */
const reservedUri = /^http:\/\/schemas\.(?:xmlsoap\.org|microsoft\.com)\//

export function isReservedClaim(name: string): boolean {
  const small = name.toLowerCase()
  return reserved.has(withoutMarks(small)) || reservedUri.test(small)
}

function withoutMarks(name: string): string {
  return name.replace(/[._:/@~-]/g, '')
}

export function fixedClaimProblems(claims: object): FixedClaimProblem[] {
  const entries = Object.entries(claims)
  if (entries.length > limits.fixedClaimsMax) return [{ kind: 'too_many' }]
  const problems = entries.flatMap(([name, value]): FixedClaimProblem[] => {
    if (name.length > limits.fixedClaimNameCharactersMax || !fixedClaimForm.test(name)) {
      return [{ kind: 'malformed', name }]
    }
    if (isReservedClaim(name)) return [{ kind: 'reserved', name }]
    return isFixedClaimValue(value) ? [] : [{ kind: 'value', name }]
  })
  if (problems.length > 0) return problems
  return claimsBytes(claims) > limits.fixedClaimsBytesMax ? [{ kind: 'too_large' }] : []
}

/** As they stand in a token. */
export const claimsBytes = (claims: object): number => Buffer.byteLength(JSON.stringify(claims))

function isFixedClaimValue(value: unknown): value is FixedClaimValue {
  if (typeof value === 'string') return isText(value)
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return true
  if (!Array.isArray(value) || value.length === 0 || value.length > limits.fixedClaimValuesMax) return false
  return value.every((each) => typeof each === 'string' && isText(each))
}

function isText(text: string): boolean {
  return text !== '' && [...text].length <= limits.fixedClaimTextCharactersMax && plainText(text) === text
}

/**
 * Claims as a row has them.
 * @throws if somebody wrote them who did not ask what may be registered.
 */
export function readFixedClaims(value: unknown): FixedClaims | undefined {
  if (value === null || value === undefined) return undefined
  if (typeof value !== 'object' || Array.isArray(value) || fixedClaimProblems(value).length > 0)
    throw new Error('a row has claims that cannot be registered')
  return Object.keys(value).length === 0 ? undefined : (value as FixedClaims)
}

/** One text for the same claims, whatever order they came in. Undefined: there are none. */
export function claimsText(claims: object | undefined): string | undefined {
  if (claims === undefined || Object.keys(claims).length === 0) return undefined
  const sorted = Object.entries(claims).toSorted(([one], [other]) => (one < other ? -1 : 1))
  return JSON.stringify(Object.fromEntries(sorted))
}

/**
 * The names that both have, with values that differ. A token can say each of them once. So a name that both have in different
 * cases of letters is another one of these, whatever its values: some libraries do not tell them apart.
 */
export function contradictions(one: FixedClaims | undefined, other: FixedClaims | undefined): string[] {
  if (one === undefined || other === undefined) return []
  const others = new Map(Object.keys(other).map((name) => [name.toLowerCase(), name]))
  return Object.entries(one).flatMap(([name, value]) => {
    const same = others.get(name.toLowerCase())
    if (same === undefined) return []
    return same === name && JSON.stringify(other[same]) === JSON.stringify(value) ? [] : [name]
  })
}

import { hash } from 'node:crypto'
import type { CertificateField, CertificateFieldName, RegisteredResource } from './client.ts'

/**
 * Trust in other issuers: whose assertions are accepted (RFC 7523), by which keys, and which of their workloads get what.
 * Unlike clients, all of it is in memory: there are few issuers, and all rules must be compared to find those that an
 * assertion fits.
 */
export interface TrustTable {
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  /** Workloads that get nothing, whichever rule they fit. */
  readonly blocked: ReadonlySet<string>
  /** What the rules name, by audience. */
  readonly resources: ReadonlyMap<string, RegisteredResource>
}

export interface TrustedIssuer {
  /**
   * The `iss` of its assertions, or `spiffe://` and a trust domain. Compared as text. For clients that publish a
   * document about themselves: the prefix of the addresses of these documents.
   */
  readonly issuer: string
  readonly status: 'active' | 'disabled'
  readonly keys: IssuerKeySource
  /** Who is responsible for it. For people: it gives nothing. */
  readonly owner?: string | undefined
  readonly rules: readonly TrustRule[]
}

/** Where the keys of an issuer come from. */
export type IssuerKeySource =
  /** From the address in the issuer's own metadata (OpenID Connect Discovery 1.0 §4). */
  | { readonly kind: 'discovery' }
  | { readonly kind: 'jwks_uri'; readonly url: string }
  /** A JWK Set of a trust domain that says itself how often it is to be fetched. */
  | { readonly kind: 'spiffe_bundle'; readonly url: string }
  | { readonly kind: 'jwks'; readonly keys: readonly Jwk[] }
  /** Each client publishes a document about itself, with its keys (registry/client-metadata-prefix.ts). */
  | { readonly kind: 'client_metadata' }

export type Jwk = Readonly<Record<string, unknown>>

/** Which assertions of an issuer are accepted, and what they get. */
export interface TrustRule {
  /** Unique among the rules of all issuers. */
  readonly rule: string
  /** All of them must hold. */
  readonly conditions: readonly ClaimCondition[]
  /** The client that the assertions stand for. Undefined: each workload that fits has an identity of its own. */
  readonly clientId: string | undefined
  /** What they may ask for. Undefined: all that the client may. */
  readonly access: readonly RuleAccess[] | undefined
  /** What they must name as audience, alone: the issuer only, or its token endpoint as well. */
  readonly assertionAudience: 'issuer' | 'token_endpoint'
  /** Seconds since `iat` after which an assertion is too old. */
  readonly assertionMaxAgeSeconds: number
  /** Whether the same assertion counts once, or until it expires. */
  readonly assertionUse: 'once' | 'until_expiry'
  /** Undefined: what the resource says. */
  readonly tokenLifetimeSeconds: number | undefined
  /** Whether the service account `default` of a Kubernetes namespace may fit. */
  readonly allowDefaultServiceAccount: boolean
  /** Whether the rule may fit everybody that the issuer signs for. */
  readonly dangerouslyAnySubject: boolean
  /**
   * What a certificate must name that the caller brings beside the assertion. The token is bound to it. `subjectOfAssertion`
   * stands for the subject of the assertion. Undefined: none is asked for.
   */
  readonly requiredCertificate?: CertificateField | undefined
  /** Whose key a DPoP proof must be of. The token is bound to that key. Undefined: none is asked for. */
  readonly requireDpop?: RequiredProof | undefined
}

/** `any_key`: a key of the caller's choice. `confirmed_key`: the one that the assertion names (`cnf.jkt`, RFC 7800). */
export const requiredProofs = ['any_key', 'confirmed_key'] as const
export type RequiredProof = (typeof requiredProofs)[number]

/** In the place of a name in a certificate: the certificate names the same as the assertion. It cannot be a name. */
export const subjectOfAssertion = '{sub}'

export interface RuleAccess {
  readonly audience: string
  readonly scopes: readonly string[]
}

export type ClaimValue = string | number | boolean

/**
 * What one claim must be. The claim is a name, or a JSON Pointer (RFC 6901) to a claim within another one, such as
 * `/kubernetes.io/namespace`.
 */
export type ClaimCondition = { readonly claim: string } & (
  | { readonly equals: ClaimValue }
  | { readonly oneOf: readonly ClaimValue[] }
  /** Ends at a separator, so that `repo:acme/` never means `repo:acme-evil/`. */
  | { readonly prefix: string }
  | { readonly present: true }
)

/** What a prefix must end with. */
export const prefixEnd = /[/:]$/

// ── Workloads ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What the ids of workloads begin with, and no id of a client. */
const workloadPrefix = 'workload:'

/**
 * The identity of a workload. It follows from issuer and subject together, so it is the same everywhere and is never given
 * to another workload, whatever is restored or registered. The length stands in front, so that no two pairs give the same
 * bytes.
 */
export function workloadId(issuer: string, subject: string): string {
  return workloadPrefix + hash('sha256', `workload ${issuer.length}:${issuer}${subject}`, 'base64url')
}

export function isWorkloadId(clientId: string): boolean {
  return clientId.startsWith(workloadPrefix)
}

// ── As it stands in the database ─────────────────────────────────────────────────────────────────────────────────────

export interface IssuerRow {
  readonly issuer: string
  readonly status: 'active' | 'disabled'
  readonly source: IssuerKeySource['kind']
  readonly url: string | null
  readonly jwks: unknown
  readonly owner: string | null
  readonly rules: readonly RuleRow[] | null
}

export interface RuleRow {
  readonly rule: string
  readonly conditions: unknown
  readonly client_id: string | null
  readonly access: unknown
  readonly assertion_audience: TrustRule['assertionAudience']
  readonly max_age: number
  readonly use: TrustRule['assertionUse']
  readonly lifetime: number | null
  readonly allow_default: boolean
  readonly any_subject: boolean
  /** Both are null where there is none. */
  readonly required_certificate?: readonly [CertificateFieldName | null, string | null]
  readonly require_dpop?: string | null
}

/** A rule that cannot be read admits nobody. The other rules count. */
export function toIssuer(row: IssuerRow): TrustedIssuer {
  return {
    issuer: row.issuer,
    status: row.status,
    keys: toKeySource(row),
    owner: row.owner ?? undefined,
    rules: (row.rules ?? []).flatMap((rule) => toRule(rule) ?? []),
  }
}

function toKeySource({ source, url, jwks }: IssuerRow): IssuerKeySource {
  if (source === 'jwks_uri' || source === 'spiffe_bundle') return { kind: source, url: url ?? '' }
  if (source === 'jwks') return { kind: source, keys: Array.isArray(jwks) ? jwks.filter(isMapping) : [] }
  if (source === 'client_metadata') return { kind: source }
  return { kind: 'discovery' }
}

function toRule(row: RuleRow): TrustRule | undefined {
  const conditions = readEach(row.conditions, readCondition)
  const access = readEach(row.access, readAccess)
  if (conditions === undefined || (row.access !== null && access === undefined)) return undefined
  if (row.client_id === null && access === undefined) return undefined
  // The same as the database checks. Somebody may have removed the check.
  if (conditions.length === 0 && !row.any_subject) return undefined
  const { required_certificate: [field, name] = [null, null], require_dpop: proof = null } = row
  const requireDpop = requiredProofs.find((each) => each === proof)
  // A demand that cannot be read must not become no demand.
  if ((field === null) !== (name === null) || (proof !== null && requireDpop === undefined)) return undefined
  return {
    rule: row.rule,
    conditions,
    clientId: row.client_id ?? undefined,
    access,
    assertionAudience: row.assertion_audience,
    assertionMaxAgeSeconds: row.max_age,
    assertionUse: row.use,
    tokenLifetimeSeconds: row.lifetime ?? undefined,
    allowDefaultServiceAccount: row.allow_default,
    dangerouslyAnySubject: row.any_subject,
    requiredCertificate: field === null || name === null ? undefined : { name: field, value: name },
    requireDpop,
  }
}

function readEach<Item>(
  value: unknown,
  read: (item: unknown) => Item | undefined,
): readonly Item[] | undefined {
  if (!Array.isArray(value)) return undefined
  const items = value.map(read)
  return items.every((item) => item !== undefined) ? items : undefined
}

/** A condition in the words of files. @returns undefined if it is not exactly one. */
export function readCondition(value: unknown): ClaimCondition | undefined {
  if (!isMapping(value)) return undefined
  const { claim, equals, one_of: oneOf, prefix, present, ...rest } = value
  if (typeof claim !== 'string' || claim === '' || Object.keys(rest).length > 0) return undefined
  const given = [equals, oneOf, prefix, present].filter((each) => each !== undefined)
  if (given.length !== 1) return undefined
  if (isClaimValue(equals)) return { claim, equals }
  if (Array.isArray(oneOf) && oneOf.length > 0 && oneOf.every(isClaimValue)) return { claim, oneOf }
  if (typeof prefix === 'string' && prefixEnd.test(prefix)) return { claim, prefix }
  return present === true ? { claim, present } : undefined
}

/** A condition as files and the database have it. */
export function conditionWords(condition: ClaimCondition): Readonly<Record<string, unknown>> {
  const { claim } = condition
  if ('equals' in condition) return { claim, equals: condition.equals }
  if ('oneOf' in condition) return { claim, one_of: condition.oneOf }
  return 'prefix' in condition ? { claim, prefix: condition.prefix } : { claim, present: true }
}

function readAccess(value: unknown): RuleAccess | undefined {
  if (!isMapping(value)) return undefined
  const { audience, scopes } = value
  if (typeof audience !== 'string' || !Array.isArray(scopes)) return undefined
  return scopes.every((scope) => typeof scope === 'string') ? { audience, scopes } : undefined
}

/** A larger whole number is read as a neighbour of itself: two of them would be one (RFC 7493 §2.2). */
export function isClaimValue(value: unknown): value is ClaimValue {
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER
  return typeof value === 'string' || typeof value === 'boolean'
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

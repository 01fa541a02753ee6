import type { CertificateFieldName } from '../registry/client.ts'
import type { RegisteredTrustState } from './came-back-trust.ts'

/** What is compared when a restored registry is judged, and what can be found (came-back.ts). */

/** A record of a change, in the form of an export. Other members do not matter. */
export interface ChangeRecord {
  readonly type: string
  readonly outcome: string
  readonly time: string
  readonly committed_at?: string | null
  readonly chain?: number
  readonly seq?: number
  readonly hash?: string
  readonly client_id?: string | null
  readonly credential_id?: string | null
  readonly audience?: string | null
  readonly scope?: string | null
  readonly kid?: string | null
  readonly detail?: {
    readonly changes?: Readonly<Record<string, { readonly to?: unknown }>>
    readonly cut?: Readonly<Record<string, unknown>>
    /** What a new rule or a new resource says. */
    readonly given?: Readonly<Record<string, unknown>>
    /** Whose rule it is. */
    readonly issuer?: unknown
    /** Where a new issuer has its keys. */
    readonly client_metadata?: unknown
    readonly jwks?: unknown
    readonly jwks_uri?: unknown
    readonly spiffe_bundle?: unknown
  } | null
}

/** What is registered, as far as the records name it. */
export interface RegisteredState {
  readonly clients: ReadonlyMap<string, RegisteredClientState>
  /** The secrets that are neither revoked nor expired, and when they end; undefined: never. */
  readonly liveSecrets: ReadonlyMap<string, number | undefined>
  /** Keys of clients that are not revoked, by `accessKey` of client and thumbprint. */
  readonly liveClientKeys: ReadonlySet<string>
  /** By `accessKey`. */
  readonly access: ReadonlyMap<string, readonly string[]>
  readonly resources: ReadonlyMap<string, RegisteredResourceState>
  /** The keys that are neither revoked nor removed. */
  readonly liveKeys: ReadonlySet<string>
  readonly trust: RegisteredTrustState
}

export interface RegisteredClientState {
  readonly status: string
  readonly method: string | undefined
  readonly networks: readonly string[]
  readonly expiresAt: number | undefined
  readonly assertionAudience: string
  /** What names it in its certificate, and the field and value of one that it must bring, as in the records. */
  readonly certificateField?: string | undefined
  readonly certificateValue?: string | undefined
  readonly requiredCertificate?: string | undefined
  readonly certificateBoundTokens?: boolean
  readonly dpopBoundTokens: boolean
  readonly fapi?: boolean
  readonly jwksUri?: string | undefined
  readonly claims?: object | undefined
}

export interface RegisteredResourceState {
  readonly scopes: readonly string[]
  readonly tokenLifetimeSeconds: number
  readonly signingAlgorithm: string
  readonly tokenTyp: string
  readonly external?: boolean
  readonly subjectForm?: string | undefined
  readonly claims?: object | undefined
}

export const accessKey = (clientId: string, audience: string): string => JSON.stringify([clientId, audience])

export type CameBackKind =
  | 'client_enabled'
  | 'client_undeleted'
  | 'client_networks_widened'
  | 'client_expires_later'
  | 'client_method_changed'
  | 'client_audience_widened'
  | 'client_keys_elsewhere'
  | 'client_certificate_changed'
  | 'client_certificate_not_required'
  | 'client_tokens_unbound'
  | 'client_dpop_unbound'
  | 'client_not_fapi'
  | 'secret_alive'
  | 'secret_expires_later'
  | 'client_key_alive'
  | 'access_back'
  | 'access_widened'
  | 'resource_undeleted'
  | 'resource_scopes_back'
  | 'resource_lifetime_longer'
  | 'resource_changed'
  | 'key_unrevoked'
  | 'client_claims_changed'
  | 'resource_claims_changed'
  | 'issuer_undeleted'
  | 'issuer_enabled'
  | 'issuer_keys_back'
  | 'rule_undeleted'
  | 'rule_changed'
  | 'workload_unblocked'

export interface CameBack {
  readonly kind: CameBackKind
  readonly clientId?: string
  readonly audience?: string
  readonly secretId?: string
  readonly kid?: string
  readonly thumbprint?: string
  readonly issuer?: string
  readonly rule?: string
  readonly workloadId?: string
  /** When it was taken away: the time of the record. */
  readonly takenAt: string
  /** What it was set to: networks, an end, a method, a lifetime, an algorithm or a typ. */
  readonly setTo?: readonly string[]
  /** What there is beyond that: scopes, names of claims, or fields of a rule. */
  readonly surplus?: readonly string[]
  /** What of a resource was changed, the field of a certificate, or that the end of a client has passed. */
  readonly detail?:
    | 'signing_algorithm'
    | 'token_typ'
    | 'external'
    | 'subject_form'
    | 'passed'
    | CertificateFieldName
}

/** The last word of the records about one thing, to be judged by what is registered. */
export interface Question {
  readonly names: readonly string[]
  readonly record: ChangeRecord
  readonly value: unknown
  readonly state: RegisteredState
  readonly now: number
}

/** The names of claims that there are, and that were not to be. */
export function claimsBeyond(claims: object | undefined, text: unknown): string[] {
  const wanted = typeof text === 'string' ? (JSON.parse(text) as object) : {}
  return Object.keys(claims ?? {}).filter((name) => !Object.hasOwn(wanted, name))
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

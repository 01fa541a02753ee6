import type { ClientKey } from '../authentication/client-key.ts'
import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'
import type { CertificateField } from '../registry/client.ts'
import type { FixedClaims } from '../registry/fixed-claims.ts'
import type { TrustedIssuer } from '../registry/issuer.ts'

/**
 * Resources and clients as administration sees them. A *definition* is what somebody wants to be registered. A
 * *stored* one is what the database holds. What the grant works with, `RegisteredClient`, is neither: it is the
 * registry's view in memory (registry/client.ts).
 *
 * All times are in seconds since 1970.
 */

/** A resource as somebody wants it, and as the database holds it: no field of it is the database's own. */
export interface ResourceDefinition {
  readonly audience: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly tokenLifetimeSeconds: number
  readonly signingAlgorithm: SigningAlgorithm
  /** The `typ` in the header of its tokens. */
  readonly tokenTyp: TokenTyp
  /** An audience outside of this organisation that trusts this issuer. Undefined: no. */
  readonly external?: boolean | undefined
  /** How the `sub` of its tokens is made (registry/subject.ts). Undefined: it is the id of the client. */
  readonly subjectForm?: string | undefined
  /** Claims that all of its tokens have. Undefined: none. */
  readonly claims?: FixedClaims | undefined
}

/** One resource that a client may call, and with which scopes. */
export interface AccessDefinition {
  readonly audience: string
  readonly scopes: readonly string[]
}

/** A client as somebody wants it: read from a file or made by a command, and checked. */
export interface ClientDefinition {
  readonly clientId: string
  readonly name: string
  /** The only way in which it may authenticate; undefined: any way that this service offers. */
  readonly tokenEndpointAuthMethod: string | undefined
  readonly allowedNetworks: readonly string[]
  /** Undefined: never. */
  readonly expiresAt: number | undefined
  /** Undefined: leave it as it is, so that applying a file again does not enable a client that was disabled. */
  readonly status: 'active' | 'disabled' | undefined
  readonly access: readonly AccessDefinition[]
  /** The public keys that verify its assertions. Undefined: leave them as they are. */
  readonly keys: readonly ClientKey[] | undefined
  /** What its assertions may name as audience: the issuer only, or its token endpoint as well. */
  readonly assertionAudience: AssertionAudience
  /** What names it in its certificate (RFC 8705 §2.1.2); undefined: no certificate does. */
  readonly certificateField?: CertificateField | undefined
  /** What a certificate must name that it brings in addition to its secret or assertion; undefined: none is asked for. */
  readonly requiredCertificate?: CertificateField | undefined
  /** Whether its tokens are bound to the certificate that it brings (RFC 8705 §3). */
  readonly certificateBoundTokens?: boolean
  /** It gets only tokens that are bound to a key, which it proves to have with every request (RFC 9449). */
  readonly dpopBoundTokens: boolean
  /** Whether it is held to the FAPI 2.0 Security Profile. */
  readonly fapi?: boolean
  /** Where it publishes the keys of its assertions. Undefined: nowhere. */
  readonly jwksUri?: string | undefined
  /** Claims that all of its tokens have. Undefined: none. */
  readonly claims?: FixedClaims | undefined
  /** For people, like the name: who is responsible for it, what it is for, and what runs. Undefined: not said. */
  readonly owner?: string | undefined
  readonly purpose?: string | undefined
  readonly kind?: ClientKind | undefined
}

/** A client as the database holds it. */
export interface StoredClient extends Omit<ClientDefinition, 'status' | 'keys'> {
  readonly status: 'active' | 'disabled' | 'deleted'
  /** All of its keys, also those that are revoked or expired. */
  readonly keys: readonly StoredKey[]
  /** How many of its secrets are neither revoked nor expired. */
  readonly validSecrets: number
  readonly createdAt: number
  readonly updatedAt: number
  /** Undefined for clients from before this was kept. */
  readonly createdBy?: string | undefined
  /** When it last got a token. True to about a minute. */
  readonly lastUsedAt?: number | undefined
  /** When it gets no more tokens unless somebody acts (client-end.ts). Undefined: never. */
  readonly endsAt?: number | undefined
}

/** A client as the database holds it, with all its secrets, also those that are revoked or expired. */
export interface StoredClientWithSecrets extends StoredClient {
  readonly secrets: readonly StoredSecret[]
}

/** What is known of a secret, without the secret and its hash. */
export interface StoredSecret {
  readonly secretId: string
  readonly hint: string
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  /** True to about a minute. */
  readonly lastUsedAt: number | undefined
  /** Set when it was replaced by another one. */
  readonly overlap: SecretOverlap | undefined
}

/** That a secret is being replaced: it stays valid until its own end, or until nobody has used it for a while. */
export interface SecretOverlap {
  /** The id of the secret that takes its place. */
  readonly replacedBy: string
  readonly startedAt: number
  readonly unusedSeconds: number | undefined
}

/** What is known of a client's key. */
export interface StoredKey extends Omit<ClientKey, 'publicJwk'> {
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  /** True to about a minute. */
  readonly lastUsedAt: number | undefined
  /** How many tokens it got with assertions that named the token endpoint as audience, and the last time. */
  readonly tokenEndpointAudienceCount: number
  readonly tokenEndpointAudienceAt: number | undefined
}

/** Another issuer as somebody wants it to be trusted, with all its rules. */
export interface IssuerDefinition extends Omit<TrustedIssuer, 'status'> {
  /** Undefined: leave it as it is. */
  readonly status: TrustedIssuer['status'] | undefined
}

/** Several definitions that are applied together. */
export interface Registration {
  readonly resources: readonly ResourceDefinition[]
  readonly clients: readonly ClientDefinition[]
  /** Left out: none. */
  readonly issuers?: readonly IssuerDefinition[]
}

/** Ways to authenticate with a secret (RFC 7591 §2). */
export const secretAuthMethods: readonly string[] = ['client_secret_basic', 'client_secret_post']

/** The method of clients that have keys and no secret. */
const keyAuthMethod = 'private_key_jwt'

/** The method of clients that have a certificate of a CA (RFC 8705 §2.1), and of those that sign their own (§2.2). */
export const certificateAuthMethod = 'tls_client_auth'
const selfSignedAuthMethod = 'self_signed_tls_client_auth'

/** Methods for which a client has keys. */
export const keyAuthMethods: readonly string[] = [keyAuthMethod, selfSignedAuthMethod]

/** The method of clients that have neither: a trusted issuer vouches for them, and a rule names them. */
export const federatedAuthMethod = 'federated_jwt'

/** Ways to authenticate that a client can be registered for. */
export const tokenEndpointAuthMethods: readonly string[] = [
  ...secretAuthMethods,
  keyAuthMethod,
  federatedAuthMethod,
  certificateAuthMethod,
  selfSignedAuthMethod,
]

/** Whether a client that is registered for a method has secrets. Undefined: any method. */
export const hasSecretByMethod = (method: string | undefined): boolean =>
  method === undefined || secretAuthMethods.includes(method)

export const assertionAudiences = ['issuer', 'token_endpoint'] as const
export type AssertionAudience = (typeof assertionAudiences)[number]

export const clientKinds = ['service', 'job', 'agent'] as const
export type ClientKind = (typeof clientKinds)[number]

/** What a field means that is left out. */
export const defaults = {
  assertionAudience: 'issuer',
  assertionMaxAgeSeconds: 3_600,
  assertionUse: 'once',
  tokenLifetimeSeconds: 300,
  signingAlgorithm: 'ES256',
  tokenTyp: 'at+jwt',
} as const

/** The same for an external resource: every cloud and API provider that documents its formats accepts these. */
export const externalDefaults = { signingAlgorithm: 'RS256', tokenTyp: 'JWT' } as const

import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'
import type { Network } from '../lib/network.ts'
import type { RefusalReason } from '../refusals.ts'
import type { FixedClaims } from './fixed-claims.ts'

/** What a client is, as decisions need it. Times in seconds since 1970. */
export interface RegisteredClient {
  readonly clientId: string
  /**
   * The last two are never stored. `unreadable`: a row of this client cannot be understood. `unsealed`: it was not
   * registered by a holder of the key-encryption key.
   */
  readonly status: 'active' | 'disabled' | 'deleted' | 'unreadable' | 'unsealed'
  /** The only method by which it may authenticate; undefined: any method that this service offers. */
  readonly tokenEndpointAuthMethod: string | undefined
  /** Empty: from anywhere. */
  readonly allowedNetworks: readonly Network[]
  readonly expiresAt: number | undefined
  readonly secrets: ReadonlyMap<string, RegisteredSecret>
  readonly keys: readonly RegisteredKey[]
  /** What its assertions may name as audience: the issuer only, or its token endpoint as well. */
  readonly assertionAudience: 'issuer' | 'token_endpoint'
  /** What names it in its certificate (RFC 8705 §2.1.2); undefined: no certificate does. */
  readonly certificateField?: CertificateField | undefined
  /** What a certificate must name that it brings in addition to its secret or assertion; undefined: none is asked for. */
  readonly requiredCertificate?: CertificateField | undefined
  /** Its tokens are bound to the certificate that it brings (RFC 8705 §3). */
  readonly certificateBoundTokens?: boolean
  /** It gets only tokens that are bound to a key, which it proves to have with every request (RFC 9449 §5.2). */
  readonly dpopBoundTokens: boolean
  /** It is held to the FAPI 2.0 Security Profile (authentication/fapi.ts). */
  readonly fapi?: boolean
  /** Where it publishes the keys of its assertions. Those that are registered count as well. */
  readonly jwksUri?: string | undefined
  /** Claims that all of its tokens have. */
  readonly claims?: FixedClaims | undefined
  /** Scopes granted, by audience. */
  readonly access: ReadonlyMap<string, readonly string[]>
}

export interface RegisteredSecret {
  readonly secretId: string
  /** argon2id in PHC form. */
  readonly hash: string
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  /** That it was verified before (authentication/secret-tag.ts). Filled in when that happens here. */
  tag: { readonly keyEncryptionKeyId: string; readonly bytes: string } | undefined
}

/** A public key that verifies assertions of its client (authentication/client-key.ts). */
export interface RegisteredKey {
  /** RFC 7638. */
  readonly thumbprint: string
  readonly kid: string | undefined
  readonly algorithm: SigningAlgorithm
  readonly publicJwk: Readonly<Record<string, string>>
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
}

/** The fields of a certificate that may name a client (RFC 8705 §2.1.2). */
export const certificateFieldNames = [
  'tls_client_auth_subject_dn',
  'tls_client_auth_san_dns',
  'tls_client_auth_san_uri',
  'tls_client_auth_san_ip',
  'tls_client_auth_san_email',
] as const
export type CertificateFieldName = (typeof certificateFieldNames)[number]

/** One of them with what must stand in it. */
export interface CertificateField {
  readonly name: CertificateFieldName
  readonly value: string
}

export interface RegisteredResource {
  readonly audience: string
  readonly scopes: ReadonlySet<string>
  readonly tokenLifetimeSeconds: number
  readonly signingAlgorithm: SigningAlgorithm
  readonly tokenTyp: TokenTyp
  /** An audience outside of this organisation that trusts this issuer. */
  readonly external?: boolean
  /** How the `sub` of its tokens is made (subject.ts). Undefined: it is the id of the client. */
  readonly subjectForm?: string | undefined
  /** Claims that all of its tokens have. */
  readonly claims?: FixedClaims | 'unreadable' | undefined
}

const statusRefusals = {
  disabled: 'client_disabled',
  deleted: 'client_deleted',
  unreadable: 'registration_unreadable',
  unsealed: 'registration_unsealed',
} as const satisfies Readonly<Record<string, RefusalReason>>

/**
 * Why a client gets no token, whatever it proves; undefined if there is no such reason. `now` in seconds since 1970.
 */
export function clientRefusal(
  client: Pick<RegisteredClient, 'status' | 'expiresAt'> | undefined,
  now: number,
): RefusalReason | undefined {
  if (client === undefined) return 'client_unknown'
  if (client.status !== 'active') return statusRefusals[client.status]
  if (client.expiresAt !== undefined && client.expiresAt <= now) return 'client_expired'
  return undefined
}

/** The audience of a client that has exactly one: what a request that names none means. */
export function onlyAudience(client: RegisteredClient): string | undefined {
  if (client.access.size !== 1) return undefined
  for (const audience of client.access.keys()) return audience
  return undefined
}

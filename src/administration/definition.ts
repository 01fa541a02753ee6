import type { SigningAlgorithm, TokenTyp } from '../keys/signing-algorithm.ts'

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
}

/** A client as the database holds it. */
export interface StoredClient extends Omit<ClientDefinition, 'status'> {
  readonly status: 'active' | 'disabled' | 'deleted'
  /** How many of its secrets are neither revoked nor expired. */
  readonly validSecrets: number
  readonly createdAt: number
  readonly updatedAt: number
}

/** A client as the database holds it, with all its secrets, also those that are revoked or expired. */
export interface StoredClientWithSecrets extends StoredClient {
  readonly secrets: readonly StoredSecret[]
}

/** What is known of a secret: everything but the secret and its hash. */
export interface StoredSecret {
  readonly secretId: string
  readonly hint: string
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  /** True to about a minute. */
  readonly lastUsedAt: number | undefined
}

/** Several definitions that are applied together. */
export interface Registration {
  readonly resources: readonly ResourceDefinition[]
  readonly clients: readonly ClientDefinition[]
}

/** Ways to authenticate that a client can be registered for (RFC 7591 §2). */
export const tokenEndpointAuthMethods: readonly string[] = ['client_secret_basic', 'client_secret_post']

/** What a field means that is left out. */
export const defaults = {
  tokenLifetimeSeconds: 300,
  signingAlgorithm: 'ES256',
  tokenTyp: 'at+jwt',
} as const

import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'

/** What the registry is told and what it holds, as the seed file and the commands see it. */

export interface ResourceDefinition {
  readonly audience: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly tokenLifetimeSeconds: number
  readonly signingAlgorithm: SigningAlgorithm
}

export interface AccessDefinition {
  readonly audience: string
  readonly scopes: readonly string[]
}

export interface ClientDefinition {
  readonly clientId: string
  readonly name: string
  readonly tokenEndpointAuthMethod: string
  readonly allowedNetworks: readonly string[]
  /** Seconds since 1970; undefined: never. */
  readonly expiresAt: number | undefined
  /** Undefined: whatever it is, so that applying a file again does not undo what an operator disabled. */
  readonly status: 'active' | 'disabled' | undefined
  readonly access: readonly AccessDefinition[]
}

export interface StoredClient extends Omit<ClientDefinition, 'status'> {
  readonly status: 'active' | 'disabled' | 'deleted'
  /** Secrets that are neither revoked nor expired. */
  readonly validSecrets: number
}

/** Ways to authenticate that a client can be registered for (RFC 7591 §2). */
export const tokenEndpointAuthMethods: readonly string[] = ['client_secret_basic', 'client_secret_post']

export const defaults = {
  tokenEndpointAuthMethod: 'client_secret_basic',
  tokenLifetimeSeconds: 300,
  signingAlgorithm: 'ES256',
} as const

/** Where in a definition something stands, for example `['clients', 3, 'access', 0]`. */
export type Path = readonly (string | number)[]

/** What is wrong with a definition and where. The message completes "clients[3].name: …". */
export interface Mistake {
  readonly path: Path
  readonly message: string
  /** The mistake is the key itself and not what it holds. */
  readonly isKey?: true
}

/** `clients[3].access[0]`. */
export function pathText(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

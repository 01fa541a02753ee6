import { OAuthError } from '../errors.ts'
import type { RegisteredClient } from '../registry/client.ts'
import type { Proof } from '../token/decide.ts'
import type { ClientCredentials } from '../token/request.ts'
import type { FailureLimit } from './failure-limit.ts'
import { secretIdOf, UnusableHash } from './secret.ts'
import type { Verification } from './verification.ts'

export interface AuthenticationEdges {
  readonly verification: Verification
  readonly failureLimit: FailureLimit
  /** What a guess is checked against when there is nothing to check it against. */
  readonly hashOfNothing: string
}

/** Credentials whose secret may be one of ours: its form is right, and its checksum. */
export interface WellFormedCredentials extends ClientCredentials {
  readonly secretId: string
}

/**
 * Lets only those pass whose secret may be one of ours. All others are refused before anybody asks who the
 * client is, so that the time it takes depends on the guess alone.
 * @throws OAuthError `secret_malformed`, or when there were too many failures.
 */
export async function admitWellFormed(
  edges: Pick<AuthenticationEdges, 'failureLimit'>,
  credentials: ClientCredentials,
  address: string,
): Promise<WellFormedCredentials> {
  const secretId = secretIdOf(credentials.secret)
  if (secretId !== undefined) return { ...credentials, secretId }
  await edges.failureLimit.attempt(credentials.clientId, undefined, address)
  throw new OAuthError('secret_malformed')
}

/**
 * Finds out what a client can prove. Says nothing about whether that is enough: `decide` does.
 *
 * Every well-formed guess costs one argon2 hash, for clients and secrets that exist and for those that do
 * not, disabled or not, so that time tells nothing (RFC 6749 §10.10). Only a secret that was right a short
 * time ago costs none.
 * @param earlier a proof from before the registry changed; kept if it was about the same stored hash.
 * @throws OAuthError when there were too many failures or there is no capacity to check.
 */
export async function authenticate(
  edges: AuthenticationEdges,
  credentials: WellFormedCredentials,
  client: RegisteredClient | undefined,
  address: string,
  earlier?: Proof,
): Promise<Proof> {
  const { verification, failureLimit } = edges
  const { clientId, secret, secretId } = credentials
  const hash = client?.secrets.get(secretId)?.hash
  if (earlier !== undefined && earlier.checkedHash === hash) return earlier
  const key = verification.keyOf(clientId, secret)
  if (hash !== undefined && verification.isRemembered(key, hash)) {
    return { secretId, checkedHash: hash, matched: true }
  }
  const knownSecretId = hash === undefined ? undefined : secretId
  try {
    const check = { key, hash: hash ?? edges.hashOfNothing, secret, promising: hash !== undefined }
    const matched = await verification.verify(check, () =>
      failureLimit.attempt(clientId, knownSecretId, address),
    )
    return { secretId, checkedHash: hash, matched: matched && hash !== undefined }
  } catch (error) {
    if (!(error instanceof UnusableHash)) throw error
    return { secretId, checkedHash: hash, matched: false, fault: 'secret_hash_unusable' }
  }
}

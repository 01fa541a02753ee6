import type { RefusalReason } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { RegisteredClient } from '../registry/client.ts'
import type { Registry } from '../registry/registry.ts'
import type { Authorization } from './authorization.ts'
import type { FailureLimit } from './failure-limit.ts'
import type { SecretTags } from './secret-tags.ts'
import type { Verification } from './verification.ts'

/** What a request brings to say who sends it, before anything of it is believed. */
export interface PresentedCredentials {
  /** The Authorization header. */
  readonly authorization: Authorization | undefined
  /** Parameters of the form, by their names (RFC 6749 §2.3.1, RFC 7521 §4.2). */
  readonly clientId: string | undefined
  readonly clientSecret: string | undefined
  readonly clientAssertion: string | undefined
  readonly clientAssertionType: string | undefined
}

/** Credentials that are complete. Nothing in them is proven. */
export interface Credentials {
  /** A value of `token_endpoint_auth_method` (RFC 7591 §2). */
  readonly method: 'client_secret_basic' | 'client_secret_post'
  readonly clientId: string
  readonly secret: string
}

/** Credentials whose secret may be one of ours: its form and its checksum are right. */
export interface AdmittedCredentials extends Credentials {
  readonly secretId: string
}

/** What a client could prove when it was asked to. */
export interface Proof {
  /** Names the credential in the record: the id in the secret. */
  readonly credentialId: string
  /** The stored hash that the secret was checked against; undefined when there was none. */
  readonly checkedHash: string | undefined
  /** Whether it was right for that hash. */
  readonly matched: boolean
  /** Set when the check itself failed. */
  readonly fault?: Extract<RefusalReason, 'secret_hash_unusable'>
}

export interface AuthenticationEdges {
  readonly registry: Pick<Registry, 'knows' | 'lookUp'>
  readonly verification: Verification
  readonly secretTags: SecretTags
  readonly failureLimit: FailureLimit
  readonly clock: Pick<Clock, 'nowSeconds'>
}

/** How the credentials of one method are read. Pure. */
export interface CredentialsReader {
  /** Whether the request brings something of this method, complete or not. */
  isPresented(presented: PresentedCredentials): boolean
  /** @throws OAuthError when they are not complete or contradict the rest of the request. */
  parse(presented: PresentedCredentials): Credentials
}

/**
 * One method of client authentication (RFC 6749 §2.3). Each is a file of this shape and a row in authenticate.ts.
 * `parse` and `judge` are pure. `admit` and `prove` may wait, count and refuse.
 */
export interface AuthenticationMethod extends CredentialsReader {
  /**
   * Refuses what cannot be right: credentials that are malformed, or that nobody has by what the database says now.
   * The time this takes says nothing about which clients exist.
   * @throws OAuthError when they cannot be right, or when there were too many failures.
   */
  admit(
    edges: AuthenticationEdges,
    credentials: Credentials,
    address: string,
  ): AdmittedCredentials | Promise<AdmittedCredentials>
  /**
   * Finds out what the client can prove. It does not say whether that is enough: `judge` does.
   * @param earlier a proof from before the registry changed. It is kept if it is about the same stored hash.
   * @throws OAuthError when there were too many failures, or no capacity to check.
   */
  prove(
    edges: AuthenticationEdges,
    credentials: AdmittedCredentials,
    client: RegisteredClient | undefined,
    address: string,
    earlier?: Proof,
  ): Proof | Promise<Proof>
  /** Why the proof is not enough for this client now; undefined when it is. `now` in seconds since 1970. */
  judge(proof: Proof, client: RegisteredClient, now: number): RefusalReason | undefined
}

import type { ClaimedText } from '../lib/claimed-text.ts'
import type { Clock } from '../lib/clock.ts'
import type { RefusalReason } from '../refusals.ts'
import type { CertificateField, RegisteredClient } from '../registry/client.ts'
import type { TrustTable } from '../registry/issuer.ts'
import type { Registry } from '../registry/registry.ts'
import type { Authorization } from './authorization.ts'
import type { JudgedCertificate } from './certificate.ts'
import type { ParsedAssertion, ReadAssertion } from './client-assertion.ts'
import type { ClientKeyUses } from './client-key-use-store.ts'
import type { ClientMetadataDocuments } from './client-metadata.ts'
import type { ClientUses } from './client-use-store.ts'
import type { Dpop, ProvenPossession } from './dpop.ts'
import type { FailureLimit } from './failure-limit.ts'
import type { FederatedAssertion } from './federated-assertion.ts'
import type { RemoteKeys } from './remote-keys.ts'
import type { SecretTags } from './secret-tags.ts'
import type { SecretUse, SecretUses } from './secret-use-store.ts'
import type { AssertionFacts } from './trust-rules.ts'
import type { Verification } from './verification.ts'
import type { WorkloadUses } from './workload-use-store.ts'

/** What a request brings as proof of who sends it, before any of it is believed. */
export interface PresentedCredentials {
  /** The Authorization header. */
  readonly authorization: Authorization | undefined
  /** Parameters of the form, by their names (RFC 6749 §2.3.1, RFC 7521 §4.2). */
  readonly clientId: string | undefined
  readonly clientSecret: string | undefined
  readonly clientAssertion: ReadAssertion | undefined
  readonly clientAssertionType: string | undefined
  /** The certificate of the connection. Its key is the caller's. Nothing else in it is believed. */
  readonly certificate?: JudgedCertificate | undefined
}

/**
 * Credentials that are complete. Nothing in them is proven. `method` is a value of `token_endpoint_auth_method`
 * (RFC 7591 §2).
 */
export type Credentials =
  | SecretCredentials
  | AssertionCredentials
  | FederatedCredentials
  | AdmittedMetadataClient
  | CertificateCredentials

export interface SecretCredentials {
  readonly method: 'client_secret_basic' | 'client_secret_post'
  readonly clientId: string
  readonly secret: string
}

export interface AssertionCredentials {
  readonly method: 'private_key_jwt'
  readonly clientId: string
  readonly assertion: ParsedAssertion
}

/** An assertion of another issuer, as a client's authentication or as the grant itself (RFC 7523 §2.1 and §2.2). */
export interface FederatedCredentials {
  readonly method: 'federated_jwt'
  /** The client that the caller names; undefined if it names none. */
  readonly clientId: string | undefined
  readonly assertion: FederatedAssertion
}

/**
 * Also for a client that is registered for `self_signed_tls_client_auth`: the request does not show which of the two it
 * is.
 */
export interface CertificateCredentials {
  readonly method: 'tls_client_auth'
  readonly clientId: string
  readonly certificate: JudgedCertificate
}

export type AdmittedCredentials =
  | AdmittedSecret
  | AdmittedAssertion
  | AdmittedFederated
  | AdmittedMetadataClient
  | CertificateCredentials

/** Credentials whose secret may be a secret of this service: its form and its checksum are right. */
export interface AdmittedSecret extends SecretCredentials {
  readonly secretId: string
}

/** Credentials whose signature is right for a key of their client. */
export interface AdmittedAssertion extends AssertionCredentials {
  /** The thumbprint of the key. */
  readonly keyId: string
  /** Where the client publishes the key. Undefined: it is registered. */
  readonly jwksUri?: string
}

/** Credentials whose signature is right for a key of their issuer, and that fit a rule. */
export interface AdmittedFederated extends Omit<FederatedCredentials, 'clientId'> {
  /** The client or the workload that the assertion stands for. */
  readonly clientId: string
  readonly namedClientId: string | undefined
  readonly keyId: string
  /** Which keys of the issuer were used. If other keys are registered meanwhile, the signature proves nothing. */
  readonly keySource: string
}

/**
 * What an assertion of a client becomes whose id is the address of a document about it (client-metadata.ts), when its
 * signature is right for a key in the document. No request names this method: to its caller it is `private_key_jwt`.
 */
export interface AdmittedMetadataClient {
  readonly method: 'client_metadata'
  /** The address. */
  readonly clientId: string
  /** The identity that follows from it. */
  readonly workloadId: string
  readonly assertion: ParsedAssertion
  readonly keyId: string
  /** SHA-256 of the document. */
  readonly documentHash: string
}

/** What a client could prove when it was asked to. */
export interface Proof {
  /** Names the credential in the record: the id in the secret, or the thumbprint of the key or of the certificate. */
  readonly credentialId: string
  /** The stored hash that the secret was checked against; undefined when there was none. */
  readonly checkedHash: string | undefined
  /** Whether it was right for that hash. */
  readonly matched: boolean
  /** Set when the check itself failed. */
  readonly fault?: Extract<RefusalReason, 'secret_hash_unusable'>
  /** The assertion whose signature was right. */
  readonly assertion?: ProvenAssertion
  /** Where its client published the key, if it is not registered. */
  readonly jwksUri?: string
  /** An assertion of another issuer whose signature was right. */
  readonly federated?: ProvenFederated
  /** The document of its client in which the key was. */
  readonly metadata?: ProvenMetadata
  /** The certificate that was presented as the proof. */
  readonly certificate?: JudgedCertificate
  /** The method for the record, where only the registration says which it is. */
  readonly method?: string
  /**
   * An identifier that counts once, and why it is refused the second time. It is used up in the commit of the token
   * (ledger/commit.ts).
   */
  readonly once?: { readonly digest: string; readonly expiresAt: number; readonly reason: RefusalReason }
  /** The key that the token is to be bound to, in addition to what proves the client. Undefined: there was no proof. */
  readonly possession?: ProvenPossession
}

export interface ProvenAssertion extends Pick<ParsedAssertion, 'expiresAt' | 'notBefore' | 'issuedAt'> {
  /** Whom it names as its audience: this issuer, only its token endpoint, or somebody else. */
  readonly audience: 'issuer' | 'token_endpoint' | 'other'
}

export interface ProvenMetadata {
  readonly url: string
  readonly documentHash: string
}

/** What the signature of an issuer proves. Which rule it fits is decided against the registry at one version. */
export interface ProvenFederated {
  readonly facts: AssertionFacts
  readonly clientId: string
  readonly namedClientId: string | undefined
  readonly keySource: string
}

/** Who asks, as the registry at one version says. */
export interface Caller {
  readonly client: RegisteredClient | undefined
  /** Its `client_id` in the token, where that is not its identity here. */
  readonly publicClientId?: string
  /** What its credential allows, in addition to what the client may have. */
  readonly rule?: CallerRule
}

export interface CallerRule {
  readonly name: string
  /** Undefined: as the resource says. */
  readonly tokenLifetimeSeconds: number | undefined
  /** When its assertion ends, in seconds since 1970: a token must not outlive it. */
  readonly tokensEndBy: number
  /** Whether the assertion counts once. */
  readonly isSpent: boolean
  /** What a certificate must name that the caller brings beside it. Undefined: none is asked for. */
  readonly requiredCertificate?: CertificateField | undefined
  /** The key and the certificate that the assertion names, where the rule asks for one of them. */
  readonly confirmedKey?: string | undefined
  readonly confirmedCertificate?: string | undefined
}

/** The part of the registry at one version that says who asks. */
export interface CallerView {
  readonly client: RegisteredClient | undefined
  readonly trust?: TrustTable | undefined
}

/** The registry does not know the caller. */
export interface CallerRefusal {
  readonly refusal: RefusalReason
  readonly detail?: Readonly<Record<string, string>>
}

export interface AuthenticationEdges {
  readonly issuer: string
  readonly registry: Pick<
    Registry,
    | 'knows'
    | 'lookUp'
    | 'keysNow'
    | 'lookUpKeys'
    | 'clientNow'
    | 'lookUpCertified'
    | 'trustNow'
    | 'lookUpTrust'
  >
  /** Keys of other issuers. */
  readonly remoteKeys: RemoteKeys
  /** Documents of clients about themselves. */
  readonly clientMetadata: ClientMetadataDocuments
  /** How the claims of a refused assertion are stored in the record. */
  readonly claimedText: Pick<ClaimedText, 'keep'>
  readonly verification: Verification
  readonly secretTags: SecretTags
  readonly failureLimit: FailureLimit
  readonly dpop: Dpop
  readonly clock: Pick<Clock, 'nowSeconds'>
}

/** Where it is noted when credentials were used. */
export interface UseEdges {
  readonly secretUses: SecretUses
  readonly keyUses: ClientKeyUses
  readonly workloadUses: WorkloadUses
  readonly clientUses: ClientUses
}

/** How the credentials of one method are read. Pure. */
export interface CredentialsReader<Given extends Credentials = Credentials> {
  /** Whether the request brings something of this method, complete or not. */
  isPresented(presented: PresentedCredentials): boolean
  /** @throws OAuthError when they are not complete or contradict the rest of the request. */
  parse(presented: PresentedCredentials): Given
}

/**
 * One method of client authentication (RFC 6749 §2.3). Each is a file of this shape and a row in authenticate.ts.
 * `parse` and `judge` are pure. `admit` and `prove` may wait, count and refuse.
 * `Instead` is for credentials that turn out to belong to another method.
 */
export interface AuthenticationMethod<
  Given extends Credentials = Credentials,
  Admitted extends AdmittedCredentials = AdmittedCredentials,
  Instead extends AdmittedCredentials = never,
> extends CredentialsReader<Given> {
  /**
   * Refuses credentials that cannot be right: they are malformed, or the database now says that nobody has them. The
   * time this takes does not show which clients exist.
   * @throws OAuthError when they cannot be right, or when there were too many failures.
   */
  admit(
    edges: AuthenticationEdges,
    credentials: Given,
    address: string,
  ): Admitted | Instead | Promise<Admitted | Instead>
  /**
   * Finds out what the client can prove. It does not say whether that is enough: `judge` does.
   * @param earlier a proof from before the registry changed. It is kept if it is about the same stored hash.
   * @throws OAuthError when there were too many failures, or no capacity to check.
   */
  prove(
    edges: AuthenticationEdges,
    credentials: Admitted,
    client: RegisteredClient | undefined,
    address: string,
    earlier?: Proof,
  ): Proof | Promise<Proof>
  /**
   * Who asks, where the credentials do not say it themselves: a caller for each rule that they fit. Pure.
   * Undefined: the client that they name.
   */
  callersOf?(proof: Proof, view: CallerView, now: number): readonly Caller[] | CallerRefusal
  /** Why the proof is not enough for this client now; undefined when it is. `now` in seconds since 1970. */
  judge(proof: Proof, client: RegisteredClient, now: number): RefusalReason | undefined
  /** Notes that a token was issued for the proof. */
  noteUse(edges: UseEdges, clientId: string, proof: Proof, use: SecretUse): void
}

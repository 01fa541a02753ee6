import { OAuthError, type RefusalReason } from '../refusals.ts'
import type { RegisteredClient } from '../registry/client.ts'
import { isWorkloadId } from '../registry/issuer.ts'
import { clientSecretBasic, clientSecretPost } from './client-secret.ts'
import { federatedJwt } from './federated-jwt.ts'
import { metadataClient } from './metadata-client.ts'
import type {
  AdmittedCredentials,
  AdmittedMetadataClient,
  AuthenticationEdges,
  AuthenticationMethod,
  Caller,
  CallerRefusal,
  CallerView,
  Credentials,
  CredentialsReader,
  PresentedCredentials,
  Proof,
  UseEdges,
} from './method.ts'
import { jwtBearer, privateKeyJwt } from './private-key-jwt.ts'
import type { SecretUse } from './secret-use-store.ts'
import { tlsClientAuth } from './tls-client-auth.ts'

/** How a caller proves who it is: the methods that there are, and the choice of the one that a request uses. */
type AnyMethod = AuthenticationMethod<Credentials, AdmittedCredentials, AdmittedMetadataClient>

const methods: Readonly<Record<Credentials['method'], AnyMethod>> = {
  client_secret_basic: clientSecretBasic,
  client_secret_post: clientSecretPost,
  private_key_jwt: privateKeyJwt,
  federated_jwt: federatedJwt,
  client_metadata: metadataClient,
  tls_client_auth: tlsClientAuth,
}

/**
 * Their names (RFC 7591 §2) where no certificates are asked for. An assertion of a trusted issuer is sent like one of the
 * client's own.
 */
export const authenticationMethods: readonly string[] = Object.keys(methods).filter(
  (method) => !['tls_client_auth', 'federated_jwt', 'client_metadata'].includes(method),
)

/** Those of clients that prove themselves with a certificate (RFC 8705 §2). */
export const certificateMethods = ['tls_client_auth', 'self_signed_tls_client_auth'] as const

/** Whether credentials are of the method that a client is registered for. */
export function isOfMethod({ method }: Credentials, registered: string): boolean {
  return (
    registered === method || (method === 'tls_client_auth' && registered === 'self_signed_tls_client_auth')
  )
}

const readers: readonly CredentialsReader[] = Object.values(methods)

/**
 * The request uses exactly one method, and names no other client than the one that authenticates (RFC 6749 §2.3). Pure.
 * @throws OAuthError when there is none or more than one, or the one is not complete.
 */
export function parseCredentials(presented: PresentedCredentials): Credentials {
  let chosen: CredentialsReader | undefined
  for (const reader of readers) {
    if (!reader.isPresented(presented)) continue
    if (chosen !== undefined) throw new OAuthError('authentication_methods_multiple')
    chosen = reader
  }
  if (chosen === undefined) throw new OAuthError('authentication_missing')
  return chosen.parse(presented)
}

/**
 * The method's name for the record. Never the scheme as it was sent: a caller that forgets "Basic" sends a secret in
 * its place.
 */
export function claimedMethod(presented: PresentedCredentials): string | undefined {
  const { authorization } = presented
  if (authorization !== undefined) return authorization.isBasic ? 'client_secret_basic' : 'other'
  if (clientSecretPost.isPresented(presented)) return 'client_secret_post'
  if (federatedJwt.isPresented(presented)) return 'federated_jwt'
  if (tlsClientAuth.isPresented(presented)) return 'tls_client_auth'
  if (!privateKeyJwt.isPresented(presented)) return undefined
  const { clientAssertionType: type } = presented
  return type === undefined || type === jwtBearer ? 'private_key_jwt' : 'client_assertion'
}

/** @see AuthenticationMethod.admit */
export function admit(
  edges: AuthenticationEdges,
  credentials: Credentials,
  address: string,
): AdmittedCredentials | Promise<AdmittedCredentials> {
  return methods[credentials.method].admit(edges, credentials, address)
}

/** @see AuthenticationMethod.prove */
export function authenticate(
  edges: AuthenticationEdges,
  credentials: AdmittedCredentials,
  client: RegisteredClient | undefined,
  address: string,
  earlier?: Proof,
): Proof | Promise<Proof> {
  return methods[credentials.method].prove(edges, credentials, client, address, earlier)
}

/** @see AuthenticationMethod.callersOf */
export function callersOf(
  { method }: Credentials,
  proof: Proof,
  view: CallerView,
  now: number,
): readonly Caller[] | CallerRefusal {
  return methods[method].callersOf?.(proof, view, now) ?? [{ client: view.client }]
}

/** @see AuthenticationMethod.judge */
export function judge(
  { method }: Credentials,
  proof: Proof,
  client: RegisteredClient,
  now: number,
): RefusalReason | undefined {
  return methods[method].judge(proof, client, now)
}

/** How the ledger names the owner of the credentials. */
export function identityOf(credentials: AdmittedCredentials): string {
  return credentials.method === 'client_metadata' ? credentials.workloadId : credentials.clientId
}

/** @see AuthenticationMethod.noteUse */
export function noteUse(
  edges: UseEdges,
  credentials: AdmittedCredentials,
  proof: Proof,
  use: SecretUse,
): void {
  const { method } = credentials
  const clientId = identityOf(credentials)
  // A workload has a note of its own (federated-jwt.ts).
  if (!isWorkloadId(clientId)) edges.clientUses.note(clientId, use.time)
  methods[method].noteUse(edges, clientId, proof, use)
}

/** The refusals of `admit` that prove that a client with that id exists. */
const refusalsOfRegistered: ReadonlySet<RefusalReason> = new Set([
  'client_disabled',
  'client_deleted',
  'client_expired',
  'client_has_no_secret',
  'secret_wrong',
  'client_has_no_key',
  'client_key_unusable',
  'assertion_key_unknown',
  'assertion_signature_wrong',
  'client_has_no_certificate',
  'certificate_key_unknown',
  'certificate_subject_mismatch',
])

/** A registered id is never a credential in the wrong place, however random it looks. Records must name it. */
export function saysRegistered(error: unknown): boolean {
  return error instanceof OAuthError && refusalsOfRegistered.has(error.reason)
}

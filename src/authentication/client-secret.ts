import { OAuthError, type RefusalReason } from '../refusals.ts'
import { clientRefusal, type RegisteredClient, type RegisteredSecret } from '../registry/client.ts'
import type {
  AdmittedSecret,
  AuthenticationEdges,
  AuthenticationMethod,
  PresentedCredentials,
  Proof,
  SecretCredentials,
  UseEdges,
} from './method.ts'
import { secretIdOf, UnusableHash } from './secret.ts'
import type { SecretUse } from './secret-use-store.ts'

/** A client's secret, in the header or in the body (RFC 6749 §2.3.1). The two differ only in where it stands. */

export const clientSecretBasic: AuthenticationMethod<SecretCredentials, AdmittedSecret> = {
  isPresented: ({ authorization }) => authorization !== undefined,
  parse({ authorization, clientId: bodyClientId }: PresentedCredentials): SecretCredentials {
    const { clientId, secret } = authorization ?? {}
    // Another scheme than Basic.
    if (clientId === undefined || secret === undefined) {
      throw new OAuthError('authentication_method_unsupported')
    }
    // The same identifier in the body is a hint, not a second method (RFC 7521 §4.2).
    if (bodyClientId !== undefined && bodyClientId !== clientId) throw new OAuthError('client_id_mismatch')
    return { method: 'client_secret_basic', clientId, secret }
  },
  admit,
  prove,
  judge,
  noteUse,
}

export const clientSecretPost: AuthenticationMethod<SecretCredentials, AdmittedSecret> = {
  isPresented: ({ clientSecret }) => clientSecret !== undefined,
  parse({ clientId, clientSecret }: PresentedCredentials): SecretCredentials {
    if (clientId === undefined || clientSecret === undefined) throw new OAuthError('authentication_missing')
    return { method: 'client_secret_post', clientId, secret: clientSecret }
  },
  admit,
  prove,
  judge,
  noteUse,
}

function admit(
  edges: AuthenticationEdges,
  credentials: SecretCredentials,
  address: string,
): AdmittedSecret | Promise<AdmittedSecret> {
  const secretId = secretIdOf(credentials.secret)
  if (secretId === undefined) {
    edges.failureLimit.fail(credentials.clientId, address)
    throw new OAuthError('secret_malformed')
  }
  const admitted = { ...credentials, secretId }
  return edges.registry.knows(credentials.clientId, secretId)
    ? admitted
    : admitIfThere(edges, admitted, address)
}

/**
 * A secret id that memory does not have is looked up in the database: the secret may be new, or this process may be.
 * A guess costs no more than that, for clients that exist and for those that do not, disabled or not, so that time
 * tells nothing (RFC 6749 §10.10). It is looked up before failures are counted: a right secret is never refused
 * because of what others did.
 */
async function admitIfThere(
  { registry, failureLimit, clock }: AuthenticationEdges,
  credentials: AdmittedSecret,
  address: string,
): Promise<AdmittedSecret> {
  const { clientId, secretId } = credentials
  const { client, hasSecret } = await registry.lookUp(clientId, secretId)
  if (hasSecret) return credentials
  failureLimit.fail(clientId, address)
  const missing = client?.hasSecrets === false ? 'client_has_no_secret' : 'secret_wrong'
  throw new OAuthError(clientRefusal(client, clock.nowSeconds()) ?? missing, { credentialId: secretId })
}

/**
 * A secret that was verified a short time ago costs a SHA-256. A secret with a tag costs two HMACs, whichever process
 * verified it first. Only a secret that is registered and has no tag costs an argon2 hash.
 */
function prove(
  edges: AuthenticationEdges,
  credentials: AdmittedSecret,
  client: RegisteredClient | undefined,
  address: string,
  earlier?: Proof,
): Proof | Promise<Proof> {
  const { verification, secretTags, failureLimit } = edges
  const { clientId, secret, secretId } = credentials
  const registered = client?.secrets.get(secretId)
  if (client === undefined || registered === undefined) {
    return { credentialId: secretId, checkedHash: undefined, matched: false }
  }
  const { hash } = registered
  if (earlier !== undefined && earlier.checkedHash === hash) return earlier
  const key = verification.keyOf(clientId, secret)
  const right = { credentialId: secretId, checkedHash: hash, matched: true }
  if (verification.isRemembered(key, hash)) return right
  const said = secretTags.check(clientId, registered, secret)
  if (said === undefined) return compareHash(edges, credentials, client, registered, key, address)
  if (said === 'right') {
    verification.remember(key, hash)
    return right
  }
  failureLimit.fail(clientId, address)
  return { ...right, matched: false }
}

async function compareHash(
  { verification, secretTags, failureLimit, clock }: AuthenticationEdges,
  { clientId, secret, secretId }: AdmittedSecret,
  client: RegisteredClient,
  registered: RegisteredSecret,
  key: string,
  address: string,
): Promise<Proof> {
  const { hash } = registered
  const now = clock.nowSeconds()
  const promising = clientRefusal(client, now) === undefined && secretRefusal(registered, now) === undefined
  try {
    const check = { key, hash, secret, promising }
    const matched = await verification.verify(check, () => failureLimit.attempt(secretId, address))
    if (matched) secretTags.make(clientId, registered, secret)
    return { credentialId: secretId, checkedHash: hash, matched }
  } catch (error) {
    if (!(error instanceof UnusableHash)) throw error
    return { credentialId: secretId, checkedHash: hash, matched: false, fault: 'secret_hash_unusable' }
  }
}

/** A proof counts only for the hash it was made with: replacing a hash ends it here. */
function judge(proof: Proof, client: RegisteredClient, now: number): RefusalReason | undefined {
  if (client.secrets.size === 0) return 'client_has_no_secret'
  if (proof.fault !== undefined) return proof.fault
  const secret = client.secrets.get(proof.credentialId)
  if (secret === undefined || !proof.matched || proof.checkedHash !== secret.hash) return 'secret_wrong'
  return secretRefusal(secret, now)
}

function noteUse({ secretUses }: UseEdges, _clientId: string, { credentialId }: Proof, use: SecretUse): void {
  secretUses.note(credentialId, use)
}

/** Why a secret is no longer valid; undefined while it is. */
function secretRefusal({ revokedAt, expiresAt }: RegisteredSecret, now: number): RefusalReason | undefined {
  // This does not depend on the clock: a replica whose clock is behind must not accept a revoked secret.
  if (revokedAt !== undefined) return 'secret_revoked'
  return expiresAt !== undefined && expiresAt <= now ? 'secret_expired' : undefined
}

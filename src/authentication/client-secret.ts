import { OAuthError, type RefusalReason } from '../errors.ts'
import type { RegisteredClient } from '../registry/client.ts'
import type {
  AdmittedCredentials,
  AuthenticationEdges,
  AuthenticationMethod,
  Credentials,
  PresentedCredentials,
  Proof,
} from './method.ts'
import { secretIdOf, UnusableHash } from './secret.ts'

/** A client's secret, in the header or in the body (RFC 6749 §2.3.1). The two differ only in where it stands. */

export const clientSecretBasic: AuthenticationMethod = {
  isPresented: ({ authorization }) => authorization !== undefined,
  parse({ authorization, clientId: bodyClientId }: PresentedCredentials): Credentials {
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
}

export const clientSecretPost: AuthenticationMethod = {
  isPresented: ({ clientSecret }) => clientSecret !== undefined,
  parse({ clientId, clientSecret }: PresentedCredentials): Credentials {
    if (clientId === undefined || clientSecret === undefined) throw new OAuthError('authentication_missing')
    return { method: 'client_secret_post', clientId, secret: clientSecret }
  },
  admit,
  prove,
  judge,
}

async function admit(
  edges: Pick<AuthenticationEdges, 'failureLimit'>,
  credentials: Credentials,
  address: string,
): Promise<AdmittedCredentials> {
  const secretId = secretIdOf(credentials.secret)
  if (secretId !== undefined) return { ...credentials, secretId }
  await edges.failureLimit.attempt(credentials.clientId, undefined, address)
  throw new OAuthError('secret_malformed')
}

/**
 * Every well-formed guess costs one argon2 hash, for clients and secrets that exist and for those that do not,
 * disabled or not, so that time tells nothing (RFC 6749 §10.10). A secret that was right a short time ago costs none.
 */
async function prove(
  edges: AuthenticationEdges,
  credentials: AdmittedCredentials,
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
    return { credentialId: secretId, checkedHash: hash, matched: true }
  }
  const knownSecretId = hash === undefined ? undefined : secretId
  try {
    const check = { key, hash: hash ?? edges.hashOfNothing, secret, promising: hash !== undefined }
    const matched = await verification.verify(check, () =>
      failureLimit.attempt(clientId, knownSecretId, address),
    )
    return { credentialId: secretId, checkedHash: hash, matched: matched && hash !== undefined }
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
  // Whatever the clock says: a replica whose clock is behind must not accept what was revoked.
  if (secret.revokedAt !== undefined) return 'secret_revoked'
  if (secret.expiresAt !== undefined && secret.expiresAt <= now) return 'secret_expired'
  return undefined
}

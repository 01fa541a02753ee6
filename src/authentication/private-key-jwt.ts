import { OAuthError, type RefusalReason } from '../refusals.ts'
import { clientRefusal, type RegisteredClient, type RegisteredKey } from '../registry/client.ts'
import { isSignedBy } from './assertion-signature.ts'
import { type ClientKey, keyRefusal, publicKeyOf } from './client-key.ts'
import { federatedJwt } from './federated-jwt.ts'
import { admitByMetadata, admitByMetadataNow } from './metadata-client.ts'
import type {
  AdmittedAssertion,
  AdmittedMetadataClient,
  AssertionCredentials,
  AuthenticationEdges,
  AuthenticationMethod,
  PresentedCredentials,
  Proof,
  UseEdges,
} from './method.ts'
import { chooseKey, momentRefusal, provenAssertion } from './own-assertion.ts'
import type { SecretUse } from './secret-use-store.ts'

/** An assertion that the client signs with a key of its own (RFC 7523 §2.2, as updated by RFC 10070). */

/** RFC 7523 §2.2. */
export const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

export const privateKeyJwt: AuthenticationMethod<
  AssertionCredentials,
  AdmittedAssertion,
  AdmittedMetadataClient
> = {
  // What another issuer signed is judged by its rules (federated-jwt.ts).
  isPresented: (presented) =>
    !federatedJwt.isPresented(presented) &&
    (presented.clientAssertion !== undefined || presented.clientAssertionType !== undefined),
  parse({ clientAssertion, clientAssertionType, clientId: bodyClientId }: PresentedCredentials) {
    if (clientAssertionType !== undefined && clientAssertionType !== jwtBearer) {
      throw new OAuthError('authentication_method_unsupported')
    }
    if (clientAssertion === undefined || clientAssertionType === undefined) {
      throw new OAuthError('assertion_incomplete')
    }
    const { clientId, parsed, refusal } = clientAssertion
    // The assertion says who it is. The same identifier in the body is a hint (RFC 7521 §4.2).
    if (bodyClientId !== undefined && clientId !== undefined && bodyClientId !== clientId) {
      throw new OAuthError('client_id_mismatch')
    }
    if (parsed === undefined) throw new OAuthError(refusal ?? 'assertion_malformed')
    return { method: 'private_key_jwt', clientId: parsed.clientId, assertion: parsed }
  },
  admit,
  prove,
  judge,
  noteUse({ keyUses }: UseEdges, clientId: string, { credentialId, assertion }: Proof, { time }: SecretUse) {
    keyUses.note({ clientId, thumbprint: credentialId, time, audience: assertion?.audience ?? 'issuer' })
  },
}

/** A client that is registered, or one whose id is the address of a document about it. */
type AdmittedOne = AdmittedAssertion | AdmittedMetadataClient

/** A right signature under a key in memory waits for nothing, and nothing is counted. */
function admit(
  edges: AuthenticationEdges,
  credentials: AssertionCredentials,
  address: string,
): AdmittedOne | Promise<AdmittedOne> {
  const { registry, clock } = edges
  const { clientId, assertion } = credentials
  const key = chooseKey(registry.keysNow(clientId), assertion, clock.nowSeconds())
  if (isSignedBy(assertion, key) && key !== undefined) return { ...credentials, keyId: key.thumbprint }
  const jwksUri = registry.clientNow(clientId)?.jwksUri
  const published = jwksUri === undefined ? undefined : edges.remoteKeys.now(addressOf(jwksUri))
  return (
    byPublished(credentials, jwksUri, published) ??
    admitByMetadataNow(edges, credentials) ??
    admitIfThere(edges, credentials, address)
  )
}

const addressOf = (url: string) => ({ kind: 'client_jwks_uri', url }) as const

/** Whether one of the keys that the client publishes made the signature. */
function byPublished(
  credentials: AssertionCredentials,
  jwksUri: string | undefined,
  published: readonly ClientKey[] | undefined,
): AdmittedAssertion | undefined {
  if (jwksUri === undefined || published === undefined) return undefined
  const never = { expiresAt: undefined, revokedAt: undefined }
  const key = chooseKey(
    published.map((each) => ({ ...each, ...never })),
    credentials.assertion,
    0,
  )
  const found = published.find(({ thumbprint }) => thumbprint === key?.thumbprint)
  if (found === undefined || !isSignedBy(credentials.assertion, found)) return undefined
  return { ...credentials, keyId: found.thumbprint, jwksUri }
}

/**
 * Everything else is looked up in the database: the key may be new, or this process may be. A wrong signature costs two
 * verifications and a share of a read, for clients that exist and for those that do not, so that time tells nothing
 * (RFC 6749 §10.10). It is looked up before failures are counted: so nobody can lock out the holder of the key.
 */
async function admitIfThere(
  edges: AuthenticationEdges,
  credentials: AssertionCredentials,
  address: string,
): Promise<AdmittedOne> {
  const { registry, remoteKeys, failureLimit, clock } = edges
  const { clientId, assertion } = credentials
  const { client, keys } = await registry.lookUpKeys(clientId, assertion.kid)
  const now = clock.nowSeconds()
  const key = chooseKey(keys, assertion, now)
  const isRight = isSignedBy(assertion, key)
  if (isRight && key !== undefined) return { ...credentials, keyId: key.thumbprint }
  // A registered client comes first. The id is only taken as an address if no client is registered by it.
  const byMetadata = await admitByMetadata(edges, credentials, address, client !== undefined)
  if (byMetadata !== undefined) return byMetadata
  // A client that publishes its keys may have new ones. They are fetched at most once in a while, whoever asks.
  const jwksUri = client?.jwksUri
  const published = jwksUri === undefined ? undefined : await remoteKeys.renewed(addressOf(jwksUri))
  const admitted = byPublished(credentials, jwksUri, published)
  if (admitted !== undefined) return admitted
  failureLimit.fail(clientId, address)
  const isAway = jwksUri !== undefined && published === undefined
  const hasKeys = client?.hasKeys === true || jwksUri !== undefined
  const reason =
    clientRefusal(client, now) ?? (isAway ? 'client_keys_unavailable' : wrongSignature(hasKeys, key))
  throw new OAuthError(reason, key === undefined ? {} : { credentialId: key.thumbprint })
}

function wrongSignature(hasKeys: boolean, key: RegisteredKey | undefined): RefusalReason {
  if (!hasKeys) return 'client_has_no_key'
  if (key === undefined) return 'assertion_key_unknown'
  return publicKeyOf(key) === undefined ? 'client_key_unusable' : 'assertion_signature_wrong'
}

/** The signature was right for the key of this thumbprint. Whether the client still has this key is for `judge`. */
function prove(
  { issuer }: AuthenticationEdges,
  { clientId, assertion, keyId, jwksUri }: AdmittedAssertion,
  _client: RegisteredClient | undefined,
  _address: string,
  earlier?: Proof,
): Proof {
  if (earlier !== undefined) return earlier
  const proof = provenAssertion({ clientId, assertion, keyId }, issuer)
  return jwksUri === undefined ? proof : { ...proof, jwksUri }
}

/** Whether the client still has the key, or still publishes its keys in the same place. */
function keyRefusalOf(
  { credentialId, jwksUri }: Proof,
  client: RegisteredClient,
  now: number,
): RefusalReason | undefined {
  if (jwksUri !== undefined) return jwksUri === client.jwksUri ? undefined : 'assertion_key_unknown'
  if (client.keys.length === 0) return 'client_has_no_key'
  const key = client.keys.find(({ thumbprint }) => thumbprint === credentialId)
  return key === undefined ? 'assertion_key_unknown' : keyRefusal(key, now)
}

function judge(proof: Proof, client: RegisteredClient, now: number): RefusalReason | undefined {
  const refusal = keyRefusalOf(proof, client, now)
  if (refusal !== undefined) return refusal
  if (proof.assertion === undefined) return 'assertion_key_unknown'
  const { audience } = proof.assertion
  if (audience === 'other') return 'assertion_audience_wrong'
  if (audience === 'token_endpoint' && client.assertionAudience !== 'token_endpoint') {
    return 'assertion_audience_token_endpoint'
  }
  return momentRefusal(proof.assertion, now)
}

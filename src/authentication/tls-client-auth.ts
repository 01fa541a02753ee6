import { OAuthError, type RefusalReason } from '../refusals.ts'
import type { CertifiedClient } from '../registry/certificate-store.ts'
import { clientRefusal, type RegisteredClient } from '../registry/client.ts'
import { issuerRefusal, type JudgedCertificate, trustRefusal, validityRefusal } from './certificate.ts'
import { fieldMatches } from './certificate-field.ts'
import { keyRefusal } from './client-key.ts'
import type {
  AuthenticationEdges,
  AuthenticationMethod,
  CertificateCredentials,
  PresentedCredentials,
  Proof,
  UseEdges,
} from './method.ts'
import type { SecretUse } from './secret-use-store.ts'

/**
 * The certificate of the connection (RFC 8705 §2): of a CA, with the one field that the client is registered with, or
 * self-signed, with a key that the client is registered with. The registration says which of the two it must be.
 */
export const tlsClientAuth: AuthenticationMethod<CertificateCredentials, CertificateCredentials> = {
  // A certificate beside other credentials is not a second method: proxies and meshes have one for every connection.
  isPresented: ({ certificate, clientId, authorization, clientSecret, ...more }) =>
    certificate !== undefined &&
    clientId !== undefined &&
    authorization === undefined &&
    clientSecret === undefined &&
    more.clientAssertion === undefined &&
    more.clientAssertionType === undefined,
  parse({ certificate, clientId }: PresentedCredentials) {
    if (certificate === undefined || clientId === undefined) throw new OAuthError('authentication_missing')
    return { method: 'tls_client_auth', clientId, certificate }
  },
  admit,
  prove: (_edges, { certificate }, client) => ({
    credentialId: certificate.thumbprint,
    checkedHash: undefined,
    // For a refusal: the caller had a certificate of the client.
    matched: client !== undefined && proofRefusal(client, certificate) === undefined,
    certificate,
    method: isSelfSigned(client) ? selfSigned : 'tls_client_auth',
  }),
  judge,
  noteUse({ keyUses }: UseEdges, clientId: string, { method, certificate }: Proof, { time }: SecretUse) {
    const thumbprint = certificate?.keyThumbprint
    if (method !== selfSigned || thumbprint === undefined) return
    keyUses.note({ clientId, thumbprint, time, audience: 'issuer' })
  },
}

const selfSigned = 'self_signed_tls_client_auth'

const isSelfSigned = (client: CertifiedClient | undefined): boolean =>
  client?.tokenEndpointAuthMethod === selfSigned

/** A certificate that is right for a client in memory waits for nothing, and nothing is counted. */
function admit(
  edges: AuthenticationEdges,
  credentials: CertificateCredentials,
  address: string,
): CertificateCredentials | Promise<CertificateCredentials> {
  const client = edges.registry.clientNow(credentials.clientId)
  return client !== undefined && proofRefusal(client, credentials.certificate) === undefined
    ? credentials
    : admitIfThere(edges, credentials, address)
}

/**
 * Everything else is looked up in the database: the client may be new, or this process may be. It takes the same time for
 * clients that exist and for those that do not (RFC 6749 §10.10), and comes before failures are counted: so nobody can
 * lock out the holder of the certificate.
 */
async function admitIfThere(
  { registry, failureLimit, clock }: AuthenticationEdges,
  credentials: CertificateCredentials,
  address: string,
): Promise<CertificateCredentials> {
  const { clientId, certificate } = credentials
  const isRight = (each: CertifiedClient) => proofRefusal(each, certificate) === undefined
  const client = await registry.lookUpCertified(clientId, isRight)
  const refusal = client === undefined ? undefined : proofRefusal(client, certificate)
  if (client !== undefined && refusal === undefined) return credentials
  failureLimit.fail(clientId, address)
  const reason = clientRefusal(client, clock.nowSeconds()) ?? refusal ?? 'client_unknown'
  throw new OAuthError(reason, { credentialId: certificate.thumbprint })
}

/** Why a certificate is never the client's, whatever the time. */
function proofRefusal(client: CertifiedClient, certificate: JudgedCertificate): RefusalReason | undefined {
  if (isSelfSigned(client)) {
    if (client.keys.length === 0) return 'client_has_no_key'
    return (
      certificate.fault ?? (keyOf(client, certificate) === undefined ? 'certificate_key_unknown' : undefined)
    )
  }
  const { certificateField } = client
  if (certificateField === undefined) return 'client_has_no_certificate'
  const refusal = issuerRefusal(certificate)
  if (refusal !== undefined) return refusal
  return fieldMatches(certificateField, certificate.names) ? undefined : 'certificate_subject_mismatch'
}

const keyOf = (client: CertifiedClient, { keyThumbprint }: JudgedCertificate) =>
  client.keys.find(({ thumbprint }) => thumbprint === keyThumbprint)

function judge({ certificate }: Proof, client: RegisteredClient, now: number): RefusalReason | undefined {
  if (certificate === undefined) return 'certificate_missing'
  const refusal = proofRefusal(client, certificate)
  if (refusal !== undefined) return refusal
  if (!isSelfSigned(client)) return trustRefusal(certificate, now)
  const key = keyOf(client, certificate)
  return (
    (key === undefined ? 'certificate_key_unknown' : keyRefusal(key, now)) ??
    validityRefusal(certificate, now)
  )
}

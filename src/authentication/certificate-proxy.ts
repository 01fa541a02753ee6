import type { CertificateField } from '../registry/client.ts'
import { type JudgedCertificate, trustRefusal, validityRefusal } from './certificate.ts'
import { fieldMatches, fieldProblem } from './certificate-field.ts'

/**
 * The proxy that is believed about the certificates of its callers. It proves itself with a certificate of its own on
 * the connection to this service: one that the operator has named, or one of the CAs with a name that the operator has
 * named. An address proves nothing: others may share it.
 */
export type ProxyName =
  /** `x5t#S256`. */
  { readonly thumbprint: string } | { readonly field: CertificateField }

/** @throws Error whose message completes "it …". */
export function readProxyName(text: string): ProxyName {
  const colon = text.indexOf(':')
  const value = text.slice(colon + 1)
  if (text.startsWith('sha256:'))
    return { thumbprint: Buffer.from(value.replaceAll(':', ''), 'hex').toString('base64url') }
  const name = text.startsWith('dns:') ? 'tls_client_auth_san_dns' : 'tls_client_auth_san_uri'
  const field = { name, value } as const
  const problem = fieldProblem(field)
  if (problem !== undefined) throw new Error(problem)
  return { field }
}

/**
 * - `proxy`: it is the proxy.
 * - `unproven`: it looks like the certificate of the proxy but is not valid now. It counts for nobody.
 * - `other`: a certificate of somebody else.
 */
export function proxyStanding(
  certificate: JudgedCertificate,
  names: readonly ProxyName[],
  now: number,
): 'proxy' | 'unproven' | 'other' {
  let standing: 'unproven' | 'other' = 'other'
  for (const name of names) {
    const isPinned = 'thumbprint' in name
    const isIt = isPinned
      ? name.thumbprint === certificate.thumbprint
      : fieldMatches(name.field, certificate.names)
    if (!isIt) continue
    // A certificate that the operator named needs no CA.
    const refusal = isPinned ? validityRefusal(certificate, now) : trustRefusal(certificate, now)
    if (refusal === undefined) return 'proxy'
    standing = 'unproven'
  }
  return standing
}

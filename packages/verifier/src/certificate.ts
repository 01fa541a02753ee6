import { createHash, X509Certificate } from 'node:crypto'
import type { AccessTokenClaims } from './claims.ts'
import { VerifyError } from './errors.ts'

/** The client certificate of the connection: DER, PEM, or as Node reads it. */
export type ClientCertificate = Buffer | string | X509Certificate

/** Or how it is had. It is asked for only if the token is bound to one, because reading one takes time. */
export type ClientCertificateSource = ClientCertificate | (() => ClientCertificate | undefined)

/**
 * Checks that the token is shown over a connection with the certificate that it is bound to (RFC 8705 §3). TLS has
 * proved that the caller has its key. The times are checked here, because Node goes on calling an expired certificate
 * authorized on a connection that stays open.
 */
export function checkCertificate(
  { cnf }: AccessTokenClaims,
  source: ClientCertificateSource | undefined,
  now: number,
): void {
  const bound = cnf?.['x5t#S256']
  if (bound === undefined) return
  const certificate = typeof source === 'function' ? source() : source
  if (certificate === undefined) throw new VerifyError('certificate_missing')
  const { raw, validFrom, validTo } = readCertificate(certificate)
  if (createHash('sha256').update(raw).digest('base64url') !== bound)
    throw new VerifyError('certificate_wrong')
  const isValid = Date.parse(validFrom) <= now * 1000 && now * 1000 <= Date.parse(validTo)
  if (!isValid) throw new VerifyError('certificate_expired')
}

function readCertificate(certificate: ClientCertificate): X509Certificate {
  if (certificate instanceof X509Certificate) return certificate
  try {
    return new X509Certificate(certificate)
  } catch (cause) {
    throw new VerifyError('certificate_wrong', { cause })
  }
}

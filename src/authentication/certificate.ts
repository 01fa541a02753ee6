import { hash } from 'node:crypto'
import { OAuthError, type RefusalReason } from '../refusals.ts'
import type { RegisteredClient } from '../registry/client.ts'
import { type CertificateNames, fieldMatches } from './certificate-field.ts'

/**
 * The certificate that a request brings, and what follows from it at a moment. Pure: it was read and judged before
 * (certificate-judge.ts), and what changes with time is decided here, for every request.
 */

/** A certificate as it arrived: whose key the caller has, and what it sent along to prove the way to a CA. All in DER. */
export interface PresentedCertificate {
  readonly leaf: Buffer
  readonly intermediates: readonly Buffer[]
  /** Names the whole chain, because the certificates that were sent along may decide. */
  readonly id: string
}

export function presentedCertificate(leaf: Buffer, intermediates: readonly Buffer[]): PresentedCertificate {
  // Lengths stand in front, so that no two chains give the same bytes.
  const lengths = [leaf, ...intermediates].map(({ length }) => length).join(' ')
  const id = hash('sha256', Buffer.concat([Buffer.from(`${lengths}:`), leaf, ...intermediates]), 'base64url')
  return { leaf, intermediates, id }
}

/** Moments in seconds since 1970. The last one is not included. */
interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

/** A way from the certificate to a CA that is right at some time: when all certificates on it are valid. */
export interface CertificatePath extends Validity {
  /** Until when the revocation lists on it are current; undefined if none are asked for. */
  readonly revocationKnownUntil: number | undefined
}

/** What was found out about a certificate once. It holds as long as the CAs and the revocation lists stay the same. */
export interface JudgedCertificate extends Validity {
  /** SHA-256 of the certificate: `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string
  readonly names: CertificateNames
  /** The thumbprint of its key (RFC 7638); undefined for a kind of key that cannot be registered. */
  readonly keyThumbprint: string | undefined
  /** What is wrong with the certificate itself, whoever issued it. */
  readonly fault: RefusalReason | undefined
  /** The ways to a CA; none: `untrusted` says why. */
  readonly paths: readonly CertificatePath[]
  readonly untrusted: RefusalReason
}

/**
 * Why a certificate does not count by itself now, whoever issued it; undefined when it does. `now` in seconds since 1970.
 * There is no leeway: the clock is compared with the database's.
 */
export function validityRefusal(certificate: JudgedCertificate, now: number): RefusalReason | undefined {
  if (certificate.fault !== undefined) return certificate.fault
  if (certificate.notBefore > now) return 'certificate_not_yet_valid'
  return certificate.notAfter <= now ? 'certificate_expired' : undefined
}

/** Why a certificate can never count as issued by one of the CAs; undefined if there is a time at which it counts. */
export function issuerRefusal({ fault, paths, untrusted }: JudgedCertificate): RefusalReason | undefined {
  return fault ?? (paths.length === 0 ? untrusted : undefined)
}

/** Why a certificate does not count as issued by one of the CAs now; undefined when it counts. */
export function trustRefusal(certificate: JudgedCertificate, now: number): RefusalReason | undefined {
  const refusal = issuerRefusal(certificate) ?? validityRefusal(certificate, now)
  if (refusal !== undefined) return refusal
  let reason: RefusalReason | undefined
  for (const path of certificate.paths) {
    const found = pathRefusal(path, now)
    if (found === undefined) return undefined
    reason ??= found
  }
  return reason
}

function pathRefusal(path: CertificatePath, now: number): RefusalReason | undefined {
  if (path.notBefore > now || path.notAfter <= now) return 'certificate_authority_expired'
  const { revocationKnownUntil: until } = path
  return until !== undefined && until <= now ? 'certificate_revocation_unknown' : undefined
}

/**
 * For a service that refuses every request without a certificate of its CAs, whatever else the request brings.
 * @throws OAuthError
 */
export function requireTrusted(certificate: JudgedCertificate | undefined, now: number): void {
  if (certificate === undefined) throw new OAuthError('certificate_missing')
  const refusal = trustRefusal(certificate, now)
  if (refusal !== undefined) throw new OAuthError(refusal, { credentialId: certificate.thumbprint })
}

type Demands = Pick<RegisteredClient, 'requiredCertificate' | 'certificateBoundTokens'>

/** Whether a client must bring a certificate in addition to what proves it. */
export function demandsCertificate({ requiredCertificate, certificateBoundTokens }: Demands): boolean {
  return requiredCertificate !== undefined || certificateBoundTokens === true
}

/** Why a request does not bring the certificate that its client must bring in addition; undefined when it does. */
export function demandRefusal(
  { requiredCertificate, certificateBoundTokens }: Demands,
  certificate: JudgedCertificate | undefined,
  now: number,
): RefusalReason | undefined {
  if (requiredCertificate === undefined && certificateBoundTokens !== true) return undefined
  if (certificate === undefined) return 'certificate_missing'
  if (requiredCertificate !== undefined) {
    const refusal = trustRefusal(certificate, now)
    if (refusal !== undefined) return refusal
    if (!fieldMatches(requiredCertificate, certificate.names)) return 'certificate_subject_mismatch'
  }
  // A token can be bound to any certificate whose key the caller has (RFC 8705 §3).
  return validityRefusal(certificate, now)
}

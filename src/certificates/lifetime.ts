import { CertificateProblem } from './problem.ts'

/** How long certificates live. Moments are in seconds since 1970. */

const daySeconds = 86_400

export const authorityDays = { least: 1, usual: 3_650, most: 3_650 } as const
/** Public CAs may give 398 days, and soon 47. What is renewed by a command needs no more than a month. */
export const certificateDays = { least: 1, usual: 30, most: 397 } as const
/** How long a list of revoked certificates is current. Each command that signs writes a new one. */
export const revocationListSeconds = 30 * daySeconds
/** A certificate is valid from a moment before it is signed, for machines whose clocks are behind. */
const backdatedSeconds = 60

/** @throws CertificateProblem. */
export function parseDays(
  text: string,
  { least, most }: { readonly least: number; readonly most: number },
): number {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (days < least || days > most)
    throw new CertificateProblem('lifetime_refused', { days: text, least, most })
  return days
}

interface Lifetime {
  readonly issuedAt: number
  readonly expiresAt: number
}

/**
 * A certificate never outlives its CA: every verifier would refuse it. A default lifetime ends with the CA.
 * @param days as somebody asked for them.
 */
export function validityWithin(
  authority: Lifetime,
  days: number | undefined,
  usualSeconds: number,
  now: number,
): { readonly notBefore: number; readonly notAfter: number } {
  const notBefore = Math.max(authority.issuedAt, now - backdatedSeconds)
  const notAfter = now + (days === undefined ? usualSeconds : days * daySeconds)
  if (notAfter <= authority.expiresAt) return { notBefore, notAfter }
  // The last day of the CA counts as a whole one: as many days as it was given a moment ago are not too many.
  const most = Math.ceil((authority.expiresAt - now) / daySeconds)
  if (days === undefined || days <= most) return { notBefore, notAfter: authority.expiresAt }
  throw new CertificateProblem('lifetime_beyond_authority', { days, most })
}

export function authorityValidity(days: number, now: number) {
  return { notBefore: now - backdatedSeconds, notAfter: now + days * daySeconds }
}

export const usualCertificateSeconds = certificateDays.usual * daySeconds

/** Whether it is time to renew: less than a third of the life is left. So two renewals may fail before it expires. */
export function isDue({ issuedAt, expiresAt }: Lifetime, now: number): boolean {
  return expiresAt - now < (expiresAt - issuedAt) / 3
}

/** From 1 for what was just issued to 0 for what has expired. */
export function lifeLeft({ issuedAt, expiresAt }: Lifetime, now: number): number {
  return Math.min(1, Math.max(0, (expiresAt - now) / (expiresAt - issuedAt)))
}

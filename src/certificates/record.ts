import { nearest } from '../lib/suggest.ts'
import { type AlternativeName, nameKinds } from './alternative-name.ts'
import { CertificateProblem } from './problem.ts'
import { type CertificateUse, certificateUses } from './sign.ts'

/**
 * What a CA wrote down about itself: what it may sign for, and every certificate that it signed. So it can revoke a
 * certificate without having it, also an earlier one of a name.
 */
export interface AuthorityRecord {
  /** The number of the latest list of revoked certificates. */
  readonly revocationListNumber: number
  /** Empty: it may sign for any name. */
  readonly permitted: readonly string[]
  readonly certificates: readonly IssuedCertificate[]
}

/** Moments are in seconds since 1970. */
export interface IssuedCertificate {
  readonly serialNumber: string
  readonly name: string
  readonly names: readonly AlternativeName[]
  readonly uses: readonly CertificateUse[]
  readonly issuedAt: number
  readonly expiresAt: number
  readonly revokedAt: number | undefined
}

/** How long a certificate is remembered after its end. A revoked one stays in the list until then (RFC 5280 §3.3). */
const keptSeconds = 30 * 86_400

/** Leaves out certificates that are no longer needed: they ended long ago, and a later one has their name. */
export function withoutOld(record: AuthorityRecord, now: number): AuthorityRecord {
  const latest = new Map(record.certificates.map((each) => [each.name, each]))
  const certificates = record.certificates.filter(
    (each) => each.expiresAt + keptSeconds > now || latest.get(each.name) === each,
  )
  return { ...record, certificates }
}

export function latestOf(record: AuthorityRecord, name: string): IssuedCertificate | undefined {
  return record.certificates.findLast((each) => each.name === name)
}

/** The latest certificate of each name. */
export function latestOfEach({ certificates }: AuthorityRecord): readonly IssuedCertificate[] {
  return [...new Map(certificates.map((each) => [each.name, each])).values()]
}

/** @throws CertificateProblem. */
export function requireIssued(record: AuthorityRecord, name: string): IssuedCertificate {
  const issued = latestOf(record, name)
  if (issued !== undefined) return issued
  const known = latestOfEach(record).map((each) => each.name)
  throw new CertificateProblem('certificate_missing', { name, nearest: nearest(name, known) })
}

export function recordText(record: AuthorityRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`
}

/** @throws CertificateProblem if the text is not what `recordText` makes. */
export function parseRecord(text: string, path: string): AuthorityRecord {
  const refuse = (problem: string): never => {
    throw new CertificateProblem('authority_damaged', { path, problem })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return refuse('is not JSON')
  }
  if (!isRecord(value)) return refuse('is not the record of a CA')
  return value
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isText = (value: unknown): value is string => typeof value === 'string'

function isRecord(value: unknown): value is AuthorityRecord {
  if (!isObject(value)) return false
  const { revocationListNumber, permitted, certificates } = value
  return (
    Number.isSafeInteger(revocationListNumber) &&
    Array.isArray(permitted) &&
    permitted.every(isText) &&
    Array.isArray(certificates) &&
    certificates.every(isIssued)
  )
}

function isIssued(value: unknown): value is IssuedCertificate {
  if (!isObject(value)) return false
  const { serialNumber, name, names, uses, issuedAt, expiresAt, revokedAt } = value
  return (
    isText(serialNumber) &&
    /^[0-9a-f]{2,40}$/.test(serialNumber) &&
    isText(name) &&
    Array.isArray(names) &&
    names.every(
      (each) => isObject(each) && nameKinds.some((kind) => kind === each['kind']) && isText(each['value']),
    ) &&
    Array.isArray(uses) &&
    uses.every((use) => certificateUses.some((known) => known === use)) &&
    Number.isSafeInteger(issuedAt) &&
    Number.isSafeInteger(expiresAt) &&
    (revokedAt === undefined || Number.isSafeInteger(revokedAt))
  )
}

import { X509Certificate } from 'node:crypto'
import { authorityFiles, readAuthorityFile, readPairFile } from './files.ts'
import { isDue } from './lifetime.ts'
import { openAuthority } from './open.ts'
import { type IssuedCertificate, latestOfEach } from './record.ts'
import { isPair, readRevocationList } from './sign.ts'

/** What a CA has, and what expires when, as data. */

export type CertificateState = 'valid' | 'due' | 'expired' | 'revoked'

/** What stands in the files of a name. */
export type FilesState = 'in place' | 'without key' | 'missing' | 'not a pair' | 'not the latest'

export interface ShownCertificate extends IssuedCertificate {
  readonly state: CertificateState
  readonly files: FilesState
  /** SHA-256 of the DER, as `cnf.x5t#S256` has it (RFC 8705 §3.1). Undefined if the file is missing. */
  readonly thumbprint: string | undefined
}

export interface AuthorityOverview {
  readonly subject: string
  readonly issuedAt: number
  readonly expiresAt: number
  readonly state: CertificateState
  readonly permitted: readonly string[]
  /** The latest certificate of each name. What expires first is first. */
  readonly certificates: readonly ShownCertificate[]
  readonly list: {
    readonly issuedAt: number
    readonly expiresAt: number
    readonly state: CertificateState
    readonly revoked: number
  }
}

/** @throws CertificateProblem if there is no CA, or it cannot be read. */
export function authorityOverview(directory: string, now: number): AuthorityOverview {
  const { certificate, issuedAt, expiresAt, record } = openAuthority(directory)
  const text = readAuthorityFile(directory, 'list')
  const { thisUpdate, nextUpdate, serialNumbers } = readRevocationList(
    text,
    `${directory}/${authorityFiles.list}`,
  )
  const list = { issuedAt: thisUpdate, expiresAt: nextUpdate }
  return {
    subject: new X509Certificate(certificate).subject,
    issuedAt,
    expiresAt,
    state: stateOf({ issuedAt, expiresAt }, now),
    permitted: record.permitted,
    certificates: latestOfEach(record)
      .map((issued) => shown(directory, issued, now))
      .toSorted((one, other) => one.expiresAt - other.expiresAt),
    list: { ...list, state: stateOf(list, now), revoked: serialNumbers.length },
  }
}

interface Dated {
  readonly issuedAt: number
  readonly expiresAt: number
  readonly revokedAt?: number | undefined
}

function stateOf(dated: Dated, now: number): CertificateState {
  if (dated.revokedAt !== undefined) return 'revoked'
  if (dated.expiresAt <= now) return 'expired'
  return isDue(dated, now) ? 'due' : 'valid'
}

function shown(directory: string, issued: IssuedCertificate, now: number): ShownCertificate {
  const { files, thumbprint } = filesOf(directory, issued)
  return { ...issued, state: stateOf(issued, now), files, thumbprint }
}

function filesOf(directory: string, { name, serialNumber }: IssuedCertificate) {
  const certificate = readPairFile(directory, name, 'certificate')
  const key = readPairFile(directory, name, 'key')
  if (certificate === undefined) return { files: 'missing' as const, thumbprint: undefined }
  try {
    const read = new X509Certificate(certificate)
    const thumbprint = Buffer.from(read.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')
    if (read.serialNumber.toLowerCase() !== serialNumber)
      return { files: 'not the latest' as const, thumbprint }
    if (key === undefined) return { files: 'without key' as const, thumbprint }
    return { files: isPair(certificate, key) ? ('in place' as const) : ('not a pair' as const), thumbprint }
  } catch {
    return { files: 'not a pair' as const, thumbprint: undefined }
  }
}

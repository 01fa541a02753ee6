import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { authorityFiles, readAuthorityFile } from './files.ts'
import { CertificateProblem } from './problem.ts'
import { type AuthorityRecord, parseRecord } from './record.ts'
import { isPair, type SigningAuthority } from './sign.ts'

/** Where the CA is, when it is, and where its randomness comes from. `now` is in seconds since 1970. */
export interface AuthorityContext {
  readonly directory: string
  readonly now: number
  readonly randomBytes: (count: number) => Buffer
}

/** What a CA has in its files, without its key. */
export interface OpenAuthority {
  readonly certificate: string
  readonly issuedAt: number
  readonly expiresAt: number
  readonly record: AuthorityRecord
}

/** @throws CertificateProblem if there is no CA, or it cannot be read. */
export function openAuthority(directory: string): OpenAuthority {
  const certificate = readAuthorityFile(directory, 'certificate')
  const { validFromDate, validToDate } = readCertificate(
    certificate,
    `${directory}/${authorityFiles.certificate}`,
  )
  return {
    certificate,
    issuedAt: Math.floor(validFromDate.getTime() / 1000),
    expiresAt: Math.floor(validToDate.getTime() / 1000),
    record: parseRecord(readAuthorityFile(directory, 'record'), `${directory}/${authorityFiles.record}`),
  }
}

export function readCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new CertificateProblem(
      'authority_damaged',
      { path, problem: 'is not a certificate' },
      { cause: error },
    )
  }
}

/** A CA that can sign now. */
export interface Signer extends OpenAuthority {
  readonly signing: SigningAuthority
}

/** @throws CertificateProblem if the CA cannot sign: it has expired, or a file is not what it was. */
export function openSigner({ directory, now }: AuthorityContext): Signer {
  const authority = openAuthority(directory)
  if (authority.expiresAt <= now)
    throw new CertificateProblem('authority_expired', { directory, expiredAt: authority.expiresAt })
  const path = `${directory}/${authorityFiles.key}`
  const pem = readAuthorityFile(directory, 'key')
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pem)
  } catch (error) {
    throw new CertificateProblem(
      'authority_damaged',
      { path, problem: 'is not a private key' },
      { cause: error },
    )
  }
  if (!isPair(authority.certificate, pem))
    throw new CertificateProblem('authority_damaged', { path, problem: 'is not the key of ca.crt' })
  return { ...authority, signing: { certificate: authority.certificate, privateKey } }
}

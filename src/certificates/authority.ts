import { createPrivateKey, type KeyObject } from 'node:crypto'
import type { AlternativeName } from './alternative-name.ts'
import {
  type AuthorityTexts,
  createAuthorityFiles,
  replaceAuthorityFile,
  replacePair,
  whileLocked,
} from './files.ts'
import {
  authorityValidity,
  revocationListSeconds,
  usualCertificateSeconds,
  validityWithin,
} from './lifetime.ts'
import { type AuthorityContext, openAuthority, openSigner, type Signer } from './open.ts'
import { parsePermitted, permittedTexts, requirePermitted } from './permitted.ts'
import { CertificateProblem } from './problem.ts'
import {
  type AuthorityRecord,
  type IssuedCertificate,
  latestOf,
  recordText,
  requireIssued,
  withoutOld,
} from './record.ts'
import {
  type CertificateUse,
  generatePair,
  type SigningAuthority,
  signAuthority,
  signCertificate,
  signRevocationList,
} from './sign.ts'

/**
 * A CA for development and tests: files in a directory, and nothing that runs. It needs no database and no network. Its
 * key has no passphrase, and nobody checks who asks for a certificate, so it is for nothing else.
 */

/** What was created, for the caller. */
export interface Authority {
  readonly subject: string
  readonly expiresAt: number
  /** Empty: any name. */
  readonly permitted: readonly string[]
}

/**
 * Creates a CA.
 * @param permitted what it may sign for: domains and networks. Empty: any name.
 * @throws CertificateProblem, also if there is one already.
 */
export async function createAuthority(
  { directory, now, randomBytes }: AuthorityContext,
  days: number,
  permittedGiven: readonly string[],
): Promise<Authority> {
  const permitted = parsePermitted(permittedGiven)
  const { privateKey } = await generatePair()
  const validity = authorityValidity(days, now)
  // Two CAs never have one name: software looks for an issuer by its name.
  const subject = `Mintmark development CA ${randomBytes(4).toString('hex')}`
  const serialNumber = newSerialNumber(randomBytes)
  const certificate = await signAuthority({ subject, serialNumber, privateKey, permitted, ...validity })
  const signing = { certificate, privateKey: createPrivateKey(privateKey) }
  const record: AuthorityRecord = {
    revocationListNumber: 1,
    permitted: permitted === undefined ? [] : permittedTexts(permitted),
    certificates: [],
  }
  const texts: AuthorityTexts = {
    certificate,
    key: privateKey,
    list: await signedList(signing, record, validity.notAfter, now),
    record: recordText(record),
  }
  createAuthorityFiles(directory, texts, serialNumber)
  return { subject, expiresAt: validity.notAfter, permitted: record.permitted }
}

/** RFC 5280 §4.1.2.2: positive, and at most 20 bytes. It is 16 long whatever is drawn, and no zero leads. */
export function newSerialNumber(randomBytes: AuthorityContext['randomBytes']): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

function signedList(
  signing: SigningAuthority,
  { revocationListNumber, certificates }: AuthorityRecord,
  authorityExpiresAt: number,
  now: number,
): Promise<string> {
  return signRevocationList(signing, {
    number: revocationListNumber,
    thisUpdate: now,
    nextUpdate: Math.min(authorityExpiresAt, now + revocationListSeconds),
    revoked: certificates.flatMap(({ serialNumber, revokedAt }) =>
      revokedAt === undefined ? [] : [{ serialNumber, revokedAt }],
    ),
  })
}

export interface CertificateRequest {
  readonly name: string
  readonly names: readonly AlternativeName[]
  readonly uses: readonly CertificateUse[]
  /** Undefined: the usual lifetime, or what the CA has left. */
  readonly days: number | undefined
}

/** @throws CertificateProblem, also if the name has a certificate that is valid. */
export async function issueCertificate(
  context: AuthorityContext,
  request: CertificateRequest,
): Promise<IssuedCertificate> {
  requireName(request.name)
  if (request.names.length === 0 && request.uses.includes('server'))
    throw new CertificateProblem('alternative_names_missing', {})
  return await whileLocked(context.directory, async () => {
    const signer = openSigner(context)
    const before = latestOf(signer.record, request.name)
    if (before !== undefined && before.revokedAt === undefined && before.expiresAt > context.now)
      throw new CertificateProblem('certificate_exists', { name: before.name, expiresAt: before.expiresAt })
    requirePermitted(request.name, request.names, parsePermitted(signer.record.permitted))
    const pair = await generatePair()
    return await sign(context, signer, request, usualCertificateSeconds, pair)
  })
}

/** The name is the name of a directory beside the files of the CA. */
function requireName(name: string): void {
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(name) || name.includes('..'))
    throw new CertificateProblem('name_malformed', { name })
  if (name === 'lock' || /^ca(?:\.|$)/.test(name)) throw new CertificateProblem('name_reserved', { name })
}

export interface Keys {
  readonly publicKey: KeyObject
  /** Undefined: it is kept elsewhere. */
  readonly privateKey: string | undefined
}

/** Signs, then writes: the record first, so that nothing is in use that the CA cannot revoke. */
export async function sign(
  context: AuthorityContext,
  signer: Signer,
  { name, names, uses, days }: CertificateRequest,
  usualSeconds: number,
  keys: Keys,
): Promise<IssuedCertificate> {
  const { directory, now, randomBytes } = context
  const validity = validityWithin(signer, days, usualSeconds, now)
  const serialNumber = newSerialNumber(randomBytes)
  const certificate = await signCertificate(signer.signing, {
    subject: name,
    serialNumber,
    names,
    uses,
    publicKey: keys.publicKey,
    ...validity,
  })
  const issued: IssuedCertificate = {
    serialNumber,
    name,
    names,
    uses,
    issuedAt: now,
    expiresAt: validity.notAfter,
    revokedAt: undefined,
  }
  const { record } = openAuthority(directory)
  await writeRecord(context, signer, { ...record, certificates: [...record.certificates, issued] })
  const texts = { certificate, key: keys.privateKey, authority: signer.certificate }
  replacePair(directory, name, serialNumber, texts)
  return issued
}

/** The record and the list of revoked certificates that follows from it. */
export async function writeRecord(
  { directory, now }: AuthorityContext,
  { signing, expiresAt }: Signer,
  changed: AuthorityRecord,
): Promise<void> {
  const record = withoutOld({ ...changed, revocationListNumber: changed.revocationListNumber + 1 }, now)
  const list = await signedList(signing, record, expiresAt, now)
  replaceAuthorityFile(directory, 'record', recordText(record))
  replaceAuthorityFile(directory, 'list', list)
}

export interface Revocation {
  /** Certificates that this call revoked: the latest one, and earlier ones that had not expired. */
  readonly revoked: readonly IssuedCertificate[]
}

/** Revokes every certificate of a name that has not expired, and writes the list. */
export async function revokeCertificates(context: AuthorityContext, name: string): Promise<Revocation> {
  return await whileLocked(context.directory, async () => {
    const signer = openSigner(context)
    requireIssued(signer.record, name)
    const revoked: IssuedCertificate[] = []
    const certificates = signer.record.certificates.map((each) => {
      if (each.name !== name || each.revokedAt !== undefined || each.expiresAt <= context.now) return each
      const changed = { ...each, revokedAt: context.now }
      revoked.push(changed)
      return changed
    })
    await writeRecord(context, signer, { ...signer.record, certificates })
    return { revoked }
  })
}

import type { KeyObject } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import { CertificateList } from '@peculiar/asn1-x509'
import { pemBlocks } from '../lib/pem.ts'
import { limits } from '../limits.ts'
import { readName, serialText } from './certificate-reader.ts'
import { isSignatureRight } from './certificate-signature.ts'
import { nameText } from './distinguished-name.ts'

/** Lists of certificates that a CA has revoked (RFC 5280 §5). Only whole ones, each by the CA that issued what it lists. */
export interface RevocationList {
  /** The text of the name (distinguished-name.ts). */
  readonly issuer: string
  /** From then on it is too old to rely on. Seconds since 1970. */
  readonly nextUpdate: number
  readonly thisUpdate: number
  /** Serial numbers. */
  readonly revoked: ReadonlySet<string>
  readonly isSignedBy: (issuer: KeyObject) => boolean
}

/** Parts of a list that change what it means, and that are not understood: a list of a part, of changes, or of other CAs. */
const partial: ReadonlySet<string> = new Set(['2.5.29.27', '2.5.29.28'])

/**
 * The lists in a file, in PEM.
 * @throws Error with what is wrong, which completes "the file …".
 */
export function readRevocationLists(text: string): RevocationList[] {
  if (text.length > limits.revocationListBytesMax)
    throw new Error(`is larger than ${limits.revocationListBytesMax} bytes`)
  const blocks = pemBlocks(text)
  if (blocks.length === 0 || blocks.some(({ label }) => label !== 'X509 CRL'))
    throw new Error('must have revocation lists in PEM (X509 CRL), and nothing else')
  return blocks.map(({ der }) => readList(der))
}

function readList(der: Buffer): RevocationList {
  let list: CertificateList
  try {
    list = AsnConvert.parse(der, CertificateList)
  } catch (error) {
    throw new Error('has a revocation list that is malformed', { cause: error })
  }
  const { tbsCertList, tbsCertListRaw, signatureAlgorithm, signature } = list
  const { nextUpdate, thisUpdate, revokedCertificates = [], crlExtensions = [] } = tbsCertList
  if (nextUpdate === undefined) throw new Error('has a revocation list without the time of its next update')
  const entries = revokedCertificates.flatMap(({ crlEntryExtensions = [] }) => crlEntryExtensions)
  const isPartial =
    crlExtensions.some(({ extnID, critical }) => partial.has(extnID) || critical) ||
    entries.some(({ critical }) => critical)
  if (isPartial) throw new Error('has a revocation list that is not the whole one of one CA')
  const signed = Buffer.from(tbsCertListRaw ?? new ArrayBuffer(0))
  return {
    issuer: nameText(readName(tbsCertList.issuer)),
    thisUpdate: Math.floor(thisUpdate.getTime().getTime() / 1_000),
    nextUpdate: Math.floor(nextUpdate.getTime().getTime() / 1_000),
    revoked: new Set(revokedCertificates.map(({ userCertificate }) => serialText(userCertificate))),
    isSignedBy: (issuer) => isSignatureRight(signatureAlgorithm, signed, Buffer.from(signature), issuer),
  }
}

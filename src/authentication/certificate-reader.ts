import { hash, type KeyObject, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  type Extension,
  type GeneralName,
  KeyUsage,
  type Name,
  NameConstraints,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509'
import { addressBytes } from '../lib/network.ts'
import { limits } from '../limits.ts'
import type { CertificateNames } from './certificate-field.ts'
import { isStrongSignature } from './certificate-signature.ts'
import { type NameParts, nameText } from './distinguished-name.ts'
import type { ConstrainedName, Constraints } from './name-constraints.ts'

/**
 * Reads a certificate (RFC 5280 §4): what the judge has to know of it. Names are read from DER, and never from a text that
 * somebody made of it: texts of names have been forged before.
 *
 * Only what needs it may load this file: the library takes 30 ms and 7 MB.
 */
export interface CertificateFacts {
  readonly der: Buffer
  /** SHA-256 in base64url. */
  readonly thumbprint: string
  /** The texts of the names (distinguished-name.ts). */
  readonly subject: string
  readonly issuer: string
  readonly names: CertificateNames
  /** All names that the constraints of a CA are about. */
  readonly constrainedNames: readonly ConstrainedName[]
  /** Seconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  /** Hexadecimal, without zeros in front. */
  readonly serialNumber: string
  readonly isCa: boolean
  /** How many CAs may stand between this one and a certificate; undefined: any number. */
  readonly pathLength: number | undefined
  /** Bits of `keyUsages`; undefined if it does not say. */
  readonly keyUsage: number | undefined
  /** Object identifiers; undefined if it does not say. */
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly constraints: Constraints | undefined
  /** It must not be used by whoever does not understand all of it, and we do not. */
  readonly isBeyondUs: boolean
  readonly isVersion3: boolean
  readonly hasStrongSignature: boolean
  readonly publicKey: KeyObject
  readonly hasStrongKey: boolean
  readonly isSignedBy: (issuer: KeyObject) => boolean
}

/** Bits of the extension (RFC 5280 §4.2.1.3). */
export const keyUsages = { digitalSignature: 1, keyCertSign: 32, cRLSign: 64 } as const

export const clientAuthentication = '1.3.6.1.5.5.7.3.2'
export const anyUsage = '2.5.29.37.0'

const ids = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
} as const

/** What is processed here. Policies are only names: no policy is asked for (RFC 5280 §6.1.1). */
const understood: ReadonlySet<string> = new Set(Object.values(ids))

/** @throws Error when it is malformed. The caller says no more than that. */
export function readCertificate(der: Buffer): CertificateFacts {
  if (der.length > limits.certificateBytesMax) throw new Error('is larger than a certificate')
  const x509 = new X509Certificate(der)
  if (x509.raw.length !== der.length) throw new Error('has more bytes than the certificate')
  const { tbsCertificate, signatureAlgorithm } = AsnConvert.parse(der, Certificate)
  const extensions = new Map<string, Extension>()
  for (const extension of tbsCertificate.extensions ?? []) {
    if (extensions.has(extension.extnID)) throw new Error('has an extension twice')
    extensions.set(extension.extnID, extension)
  }
  const read = <Value>(id: string, type: new () => Value): Value | undefined => {
    const extension = extensions.get(id)
    return extension === undefined ? undefined : AsnConvert.parse(extension.extnValue.buffer, type)
  }
  const subject = readName(tbsCertificate.subject)
  const names = read(ids.subjectAltName, SubjectAlternativeName) ?? []
  const constraints = read(ids.basicConstraints, BasicConstraints)
  const { validity } = tbsCertificate
  const { publicKey } = x509
  return {
    der,
    thumbprint: hash('sha256', der, 'base64url'),
    subject: nameText(subject),
    issuer: nameText(readName(tbsCertificate.issuer)),
    names: namesOf(nameText(subject), names),
    constrainedNames: constrainedNames(subject, names),
    notBefore: seconds(validity.notBefore.getTime()),
    notAfter: seconds(validity.notAfter.getTime()),
    serialNumber: serialText(tbsCertificate.serialNumber),
    isCa: constraints?.cA === true,
    pathLength: constraints?.pathLenConstraint,
    keyUsage: read(ids.keyUsage, KeyUsage)?.toNumber(),
    extendedKeyUsage: read(ids.extendedKeyUsage, ExtendedKeyUsage)?.slice(),
    constraints: constraintsOf(read(ids.nameConstraints, NameConstraints)),
    isBeyondUs: [...extensions.values()].some(({ critical, extnID }) => critical && !understood.has(extnID)),
    isVersion3: tbsCertificate.version === 2,
    hasStrongSignature: isStrongSignature(signatureAlgorithm),
    publicKey,
    hasStrongKey: isStrongKey(publicKey),
    isSignedBy: (issuer) => x509.verify(issuer),
  }
}

const seconds = (date: Date): number => Math.floor(date.getTime() / 1_000)

export function serialText(serialNumber: ArrayBuffer): string {
  return Buffer.from(serialNumber)
    .toString('hex')
    .replace(/^(?:00)+(?=.)/, '')
}

const curves: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

function isStrongKey({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  if (type === 'ed25519' || type === 'ed448') return true
  if (type === 'ec') return curves.has(details.namedCurve)
  const { modulusLength: bits = 0, publicExponent = 0n } = details
  const isSized = bits >= limits.certificateRsaBitsMin && bits <= limits.certificateRsaBitsMax
  // An even exponent, or 1, is no key. A very large one only costs time.
  return (
    (type === 'rsa' || type === 'rsa-pss') &&
    isSized &&
    publicExponent > 2n &&
    publicExponent % 2n === 1n &&
    publicExponent < 2n ** 32n
  )
}

// ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A character of control in a name ends it for some programs and not for others. U+FFFD: it was no text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const notInNames = /[\u0000-\u001f\u007f-\u009f\ufffd]/

export function readName(name: Name): NameParts {
  return name.map((part) => {
    if (part.length === 0) throw new Error('has a name with an empty part')
    return part.map(({ type, value }) => {
      const { anyValue } = value
      if (anyValue !== undefined) return { type, der: Buffer.from(anyValue).toString('hex') }
      const text = value.ia5String ?? value.toString()
      if (notInNames.test(text)) throw new Error('has a name with a character of control')
      return { type, text }
    })
  })
}

/** Printable ASCII, which every name of these types is. */
const asciiName = /^[\x21-\x7e]+$/

function ascii(text: string): string {
  if (!asciiName.test(text)) throw new Error('has a name with characters that it cannot have')
  return text
}

function namesOf(subject: string, names: readonly GeneralName[]): CertificateNames {
  return {
    subject,
    dns: names.flatMap(({ dNSName: name }) => (name === undefined ? [] : [ascii(name)])),
    uris: names.flatMap(({ uniformResourceIdentifier: name }) => (name === undefined ? [] : [ascii(name)])),
    emails: names.flatMap(({ rfc822Name: name }) => (name === undefined ? [] : [ascii(name)])),
    addresses: names.flatMap(({ iPAddress: name }) => {
      if (name === undefined) return []
      const bytes = addressBytes(name)
      if (bytes === undefined) throw new Error('has an address that is none')
      return [bytes]
    }),
  }
}

const emailAttribute = '1.2.840.113549.1.9.1'

function constrainedNames(subject: NameParts, names: readonly GeneralName[]): ConstrainedName[] {
  const found: ConstrainedName[] = names.map(constrainedName)
  if (subject.length > 0) found.push({ type: 'directory', value: nameText(subject) })
  // Old certificates have their address there (RFC 5280 §4.2.1.10).
  if (found.every(({ type }) => type !== 'email')) {
    for (const { type, text } of subject.flat()) {
      if (type === emailAttribute && text !== undefined) found.push({ type: 'email', value: text })
    }
  }
  return found
}

function constrainedName(name: GeneralName): ConstrainedName {
  if (name.dNSName !== undefined) return { type: 'dns', value: name.dNSName }
  if (name.rfc822Name !== undefined) return { type: 'email', value: name.rfc822Name }
  if (name.uniformResourceIdentifier !== undefined)
    return { type: 'uri', value: name.uniformResourceIdentifier }
  if (name.iPAddress !== undefined) return { type: 'address', value: name.iPAddress }
  if (name.directoryName !== undefined)
    return { type: 'directory', value: nameText(readName(name.directoryName)) }
  return { type: 'other', value: '' }
}

function constraintsOf(constraints: NameConstraints | undefined): Constraints | undefined {
  if (constraints === undefined) return undefined
  const bases = (subtrees: NameConstraints['permittedSubtrees']): ConstrainedName[] =>
    (subtrees ?? []).map(({ base, minimum, maximum }) =>
      // RFC 5280 has no other depth.
      minimum === 0 && maximum === undefined ? constrainedName(base) : { type: 'other', value: '' },
    )
  return { permitted: bases(constraints.permittedSubtrees), excluded: bases(constraints.excludedSubtrees) }
}

import { hash, type KeyObject, X509Certificate } from 'node:crypto'
import {
  booleanOf,
  DerReader,
  type DerValue,
  derValues,
  objectIdentifierText,
  onlyValue,
  smallInteger,
  tags,
  textOf,
  timeOf,
} from '../lib/der.ts'
import { limits } from '../limits.ts'
import type { CertificateNames } from './certificate-field.ts'
import { isStrongSignature } from './certificate-signature.ts'
import { type NameParts, nameText } from './distinguished-name.ts'
import type { ConstrainedName, Constraints } from './name-constraints.ts'

/**
 * Reads a certificate (RFC 5280 §4): what the judge has to know of it. Names are read from DER, and never from a text that
 * somebody made of it: texts of names have been forged before. Keys and signatures are left to OpenSSL.
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
  /** Hexadecimal. */
  readonly serialNumber: string
  readonly isCa: boolean
  /** How many CAs may stand between this one and a certificate; undefined: any number. */
  readonly pathLength: number | undefined
  /** Bits of `keyUsages`; undefined if it does not say. */
  readonly keyUsage: number | undefined
  /** Object identifiers; undefined if it does not say. */
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly constraints: Constraints | undefined
  /** A certificate with a critical extension that this service does not understand must not be used. */
  readonly isBeyondUs: boolean
  readonly isVersion3: boolean
  readonly hasStrongSignature: boolean
  readonly publicKey: KeyObject
  readonly hasStrongKey: boolean
  readonly isSignedBy: (issuer: KeyObject) => boolean
}

/** Bits of the extension (RFC 5280 §4.2.1.3), in its first byte. */
export const keyUsages = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const

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
  const whole = new DerReader(onlyValue(der, tags.sequence).content)
  const content = whole.inside(tags.sequence)
  const algorithm = whole.next(tags.sequence)
  whole.next(tags.bitString)
  whole.end()
  const version = content.optional(0xa0)
  const serialNumber = content.next(tags.integer).content.toString('hex')
  if (!content.next(tags.sequence).whole.equals(algorithm.whole))
    throw new Error('names one algorithm and is signed with another')
  const issuer = readName(content.next(tags.sequence))
  const validity = content.inside(tags.sequence)
  const [notBefore, notAfter] = [timeOf(validity.next()), timeOf(validity.next())]
  validity.end()
  const subject = readName(content.next(tags.sequence))
  content.next(tags.sequence)
  content.optional(0x81)
  content.optional(0x82)
  const extensions = readTaggedExtensions(content.optional(0xa3))
  content.end()
  const read = (id: string): Buffer | undefined => extensions.get(id)?.content
  const names = listIn(read(ids.subjectAltName)) ?? []
  const x509 = new X509Certificate(der)
  const { publicKey } = x509
  return {
    der,
    thumbprint: hash('sha256', der, 'base64url'),
    subject: nameText(subject),
    issuer: nameText(issuer),
    names: namesOf(nameText(subject), names),
    constrainedNames: constrainedNames(subject, names),
    notBefore,
    notAfter,
    serialNumber,
    ...basicConstraints(read(ids.basicConstraints)),
    keyUsage: usageBits(read(ids.keyUsage)),
    extendedKeyUsage: listIn(read(ids.extendedKeyUsage))?.map(objectIdentifierText),
    constraints: constraintsIn(read(ids.nameConstraints)),
    isBeyondUs: [...extensions].some(([id, { isCritical }]) => isCritical && !understood.has(id)),
    isVersion3: version !== undefined && smallInteger(onlyValue(version.content, tags.integer)) === 2,
    hasStrongSignature: isStrongSignature(algorithm),
    publicKey,
    hasStrongKey: isStrongKey(publicKey),
    isSignedBy: (key) => x509.verify(key),
  }
}

const curves: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

function isStrongKey({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  if (type === 'ed25519' || type === 'ed448') return true
  if (type === 'ec') return curves.has(details.namedCurve)
  const { modulusLength: bits = 0, publicExponent = 0n } = details
  const isSized = bits >= limits.certificateRsaBitsMin && bits <= limits.certificateRsaBitsMax
  // A key with an even exponent, or 1, is not a key. A very large one only costs time.
  return (
    (type === 'rsa' || type === 'rsa-pss') &&
    isSized &&
    publicExponent > 1n &&
    publicExponent % 2n === 1n &&
    publicExponent < 2n ** 32n
  )
}

// ── Extensions ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Extension {
  readonly isCritical: boolean
  readonly content: Buffer
}

/** @param tagged undefined: there are none. */
export function readTaggedExtensions(tagged: DerValue | undefined): ReadonlyMap<string, Extension> {
  return tagged === undefined ? new Map() : readExtensions(onlyValue(tagged.content, tags.sequence))
}

export function readExtensions(list: DerValue): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>()
  for (const { tag, content } of derValues(list.content)) {
    if (tag !== tags.sequence) throw new Error('has an extension that is malformed')
    const reader = new DerReader(content)
    const id = objectIdentifierText(reader.next(tags.objectIdentifier))
    const critical = reader.optional(tags.boolean)
    const isCritical = critical !== undefined && booleanOf(critical)
    const { content: own } = reader.next(tags.octetString)
    reader.end()
    if (extensions.has(id)) throw new Error('has an extension twice')
    extensions.set(id, { isCritical, content: own })
  }
  return extensions
}

/** The values of a sequence. */
const listIn = (bytes: Buffer | undefined): DerValue[] | undefined =>
  bytes === undefined ? undefined : derValues(onlyValue(bytes, tags.sequence).content)

function basicConstraints(bytes: Buffer | undefined) {
  if (bytes === undefined) return { isCa: false, pathLength: undefined }
  const reader = new DerReader(onlyValue(bytes, tags.sequence).content)
  const isCa = reader.optional(tags.boolean)
  const pathLength = reader.optional(tags.integer)
  reader.end()
  return {
    isCa: isCa !== undefined && booleanOf(isCa),
    pathLength: pathLength === undefined ? undefined : smallInteger(pathLength),
  }
}

function usageBits(bytes: Buffer | undefined): number | undefined {
  if (bytes === undefined) return undefined
  const [unused, first = 0] = onlyValue(bytes, tags.bitString).content
  if (unused === undefined || unused > 7) throw new Error('has a key usage that is malformed')
  return first
}

// ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** For some programs a control character ends a name, and for others it does not. */
const notInNames = /\p{Cc}/u

export function readName({ content }: DerValue): NameParts {
  return derValues(content).map((part) => {
    const attributes = part.tag === tags.set ? derValues(part.content) : []
    if (attributes.length === 0) throw new Error('has a name with an empty part')
    return attributes.map((attribute) => {
      if (attribute.tag !== tags.sequence) throw new Error('has a name that is malformed')
      const reader = new DerReader(attribute.content)
      const type = objectIdentifierText(reader.next(tags.objectIdentifier))
      const value = reader.next()
      reader.end()
      const text = textOf(value)
      if (text === undefined) return { type, der: value.whole.toString('hex') }
      if (notInNames.test(text)) throw new Error('has a name with a character of control')
      return { type, text }
    })
  })
}

/** Tags of names of other kinds (RFC 5280 §4.2.1.6). */
const kinds = { email: 0x81, dns: 0x82, directory: 0xa4, uri: 0x86, address: 0x87 } as const
/** Names that nothing here compares: of other programs, X.400, EDI, object identifiers. */
const otherKinds: readonly number[] = [0xa0, 0xa3, 0xa5, 0x88]

/** Printable ASCII, which every name of these types is. */
const asciiName = /^[\x21-\x7e]+$/

function asciiText({ content }: DerValue): string {
  const text = content.toString('latin1')
  if (!asciiName.test(text)) throw new Error('has a name with characters that it cannot have')
  return text
}

function addressIn({ content }: DerValue): string {
  if (content.length !== 4 && content.length !== 16) throw new Error('has an address that is none')
  return content.toString('hex')
}

function namesOf(subject: string, names: readonly DerValue[]): CertificateNames {
  const of = (kind: number) => names.filter(({ tag }) => tag === kind)
  return {
    subject,
    dns: of(kinds.dns).map(asciiText),
    uris: of(kinds.uri).map(asciiText),
    emails: of(kinds.email).map(asciiText),
    addresses: of(kinds.address).map(addressIn),
  }
}

const emailAttribute = '1.2.840.113549.1.9.1'

function constrainedNames(subject: NameParts, names: readonly DerValue[]): ConstrainedName[] {
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

function constrainedName(name: DerValue): ConstrainedName {
  const { tag, content } = name
  const text = content.toString('latin1')
  if (tag === kinds.dns) return { type: 'dns', value: text }
  if (tag === kinds.email) return { type: 'email', value: text }
  if (tag === kinds.uri) return { type: 'uri', value: text }
  if (tag === kinds.address) return { type: 'address', value: content.toString('hex') }
  if (tag === kinds.directory)
    return { type: 'directory', value: nameText(readName(onlyValue(content, tags.sequence))) }
  if (!otherKinds.includes(tag)) throw new Error('has a name of no kind')
  return { type: 'other', value: '' }
}

function constraintsIn(bytes: Buffer | undefined): Constraints | undefined {
  if (bytes === undefined) return undefined
  const reader = new DerReader(onlyValue(bytes, tags.sequence).content)
  const [permitted, excluded] = [reader.optional(0xa0), reader.optional(0xa1)]
  reader.end()
  const bases = (subtrees: DerValue | undefined): ConstrainedName[] =>
    subtrees === undefined ? [] : derValues(subtrees.content).map(baseOf)
  return { permitted: bases(permitted), excluded: bases(excluded) }
}

function baseOf({ tag, content }: DerValue): ConstrainedName {
  if (tag !== tags.sequence) throw new Error('has constraints that are malformed')
  const reader = new DerReader(content)
  const base = constrainedName(reader.next())
  // RFC 5280 has no depths.
  return reader.isAtEnd ? base : { type: 'other', value: '' }
}

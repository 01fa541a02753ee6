/**
 * Certificates and revocation lists for tests, written byte by byte: so that a test can make one that no tool would make.
 * Of no use to anybody outside of tests.
 *
 * Long because certificates and lists are written with the same few words.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

let frozenSeconds: number | undefined
const nowSeconds = (): number => frozenSeconds ?? Math.floor(Date.now() / 1000)

/** What is made from now on in this file is made at one moment, however long it takes. @returns seconds since 1970. */
export function freezeTime(): number {
  frozenSeconds = nowSeconds()
  return frozenSeconds
}

// ── DER (X.690) ──────────────────────────────────────────────────────────────────────────────────────────────────────

export function tlv(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const { length } = body
  const size =
    length < 0x80
      ? [length]
      : length < 0x100
        ? [0x81, length]
        : length < 0x10000
          ? [0x82, length >> 8, length & 0xff]
          : [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), body])
}

export const sequence = (...content: readonly Buffer[]): Buffer => tlv(0x30, ...content)
export const set = (...content: readonly Buffer[]): Buffer => tlv(0x31, ...content)
export const octets = (content: Buffer): Buffer => tlv(0x04, content)
export const bits = (content: Buffer, unused = 0): Buffer => tlv(0x03, Buffer.from([unused]), content)
export const integer = (value: number | Buffer): Buffer =>
  tlv(0x02, typeof value === 'number' ? Buffer.from([value]) : value)
export const truth = (value: boolean): Buffer => tlv(0x01, Buffer.from([value ? 0xff : 0]))
export const utf8 = (text: string): Buffer => tlv(0x0c, Buffer.from(text))
export const printable = (text: string): Buffer => tlv(0x13, Buffer.from(text))
export const ia5 = (text: string): Buffer => tlv(0x16, Buffer.from(text, 'latin1'))

export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const septets = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      septets.unshift((left & 0x7f) | 0x80)
    }
    return septets
  })
  return tlv(0x06, Buffer.from(bytes))
}

export function time(seconds: number): Buffer {
  const text = new Date(seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')
  return text < '2050' ? tlv(0x17, Buffer.from(text.slice(2))) : tlv(0x18, Buffer.from(text))
}

export const pem = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${(der.toString('base64').match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`

// ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const attributeTypes: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  C: '2.5.4.6',
  DC: '0.9.2342.19200300.100.1.25',
  UID: '0.9.2342.19200300.100.1.1',
  emailAddress: '1.2.840.113549.1.9.1',
}

/** From the top down. A part of several attributes is a list of pairs. A value that is no text is DER. */
export type TestName = readonly (readonly (readonly [type: string, value: string | Buffer])[])[]

/** `O=Example,CN=billing`, from the top down, without anything that would need an escape. */
const plainName = (text: string): TestName =>
  text === '' ? [] : text.split(',').map((part) => [part.split('=') as [string, string]])

export function name(parts: TestName): Buffer {
  return sequence(
    ...parts.map((part) =>
      set(
        ...part.map(([type, value]) =>
          sequence(oid(attributeTypes[type] ?? type), typeof value === 'string' ? utf8(value) : value),
        ),
      ),
    ),
  )
}

export const general = {
  dns: (text: string) => tlv(0x82, Buffer.from(text, 'latin1')),
  email: (text: string) => tlv(0x81, Buffer.from(text, 'latin1')),
  uri: (text: string) => tlv(0x86, Buffer.from(text, 'latin1')),
  ip: (...bytes: readonly number[]) => tlv(0x87, Buffer.from(bytes)),
  directory: (parts: TestName) => tlv(0xa4, name(parts)),
  other: (type: string, text: string) => tlv(0xa0, oid(type), tlv(0xa0, utf8(text))),
}

// ── Certificates ─────────────────────────────────────────────────────────────────────────────────────────────────────

export interface TestCertificate {
  readonly der: Buffer
  readonly pem: string
  readonly subject: TestName
  readonly serial: Buffer
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly keyPem: string
}

export type KeyKind = 'p256' | 'p384' | 'p192' | 'secp256k1' | 'ed25519' | 'rsa' | 'rsa1024' | 'dsa'

const kept = new Map<string, { privateKey: KeyObject; publicKey: KeyObject }>()

/** Keys of kinds that take long to make are made once. */
function keyPair(kind: KeyKind) {
  const made = (): { privateKey: KeyObject; publicKey: KeyObject } => {
    if (kind === 'ed25519') return generateKeyPairSync('ed25519')
    if (kind === 'rsa' || kind === 'rsa1024')
      return generateKeyPairSync('rsa', { modulusLength: kind === 'rsa' ? 2048 : 1024 })
    if (kind === 'dsa') return generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 })
    const curves = { p256: 'P-256', p384: 'P-384', p192: 'prime192v1', secp256k1: 'secp256k1' }
    return generateKeyPairSync('ec', { namedCurve: curves[kind] })
  }
  const isSlow = kind === 'rsa' || kind === 'rsa1024' || kind === 'dsa'
  const pair = (isSlow ? kept.get(kind) : undefined) ?? made()
  if (isSlow) kept.set(kind, pair)
  return pair
}

export const usage = {
  digitalSignature: 0x80,
  keyEncipherment: 0x20,
  keyCertSign: 0x04,
  cRLSign: 0x02,
} as const
export const clientAuth = '1.3.6.1.5.5.7.3.2'
export const serverAuth = '1.3.6.1.5.5.7.3.1'

export interface CertificateOptions {
  readonly subject?: string | TestName
  readonly names?: readonly Buffer[]
  readonly key?: KeyKind
  /** The key of another certificate, for one that is renewed. */
  readonly keyOf?: TestCertificate
  /** Seconds from now. */
  readonly from?: number
  readonly until?: number
  readonly isCa?: boolean
  readonly pathLength?: number
  /** Bits of the first byte; null: no such extension. */
  readonly keyUsage?: number | null
  readonly extendedKeyUsage?: readonly string[] | null
  readonly extensions?: readonly Buffer[]
  readonly digest?: 'sha1' | 'sha256' | 'sha384' | 'sha512'
  readonly isPss?: boolean
  /** As in the certificate: 2 is version 3. */
  readonly version?: number
  readonly serial?: Buffer
}

export function extension(id: string, critical: boolean, content: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [truth(true)] : []), octets(content))
}

const sha = { sha1: '', sha256: '1', sha384: '2', sha512: '3' } as const

function signatureAlgorithm(key: KeyObject, digest: keyof typeof sha, isPss: boolean): Buffer {
  const { asymmetricKeyType: type } = key
  if (type === 'ed25519') return sequence(oid('1.3.101.112'))
  if (type === 'ec')
    return sequence(
      oid(digest === 'sha1' ? '1.2.840.10045.4.1' : `1.2.840.10045.4.3.${Number(sha[digest]) + 1}`),
    )
  if (type === 'dsa') return sequence(oid('2.16.840.1.101.3.4.3.2'))
  if (!isPss)
    return sequence(
      oid(`1.2.840.113549.1.1.${{ sha1: 5, sha256: 11, sha384: 12, sha512: 13 }[digest]}`),
      tlv(0x05),
    )
  const hashId = digest === 'sha1' ? oid('1.3.14.3.2.26') : oid(`2.16.840.1.101.3.4.2.${sha[digest]}`)
  const hashAlgorithm = sequence(hashId, tlv(0x05))
  const length = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }[digest]
  return sequence(
    oid('1.2.840.113549.1.1.10'),
    sequence(
      tlv(0xa0, hashAlgorithm),
      tlv(0xa1, sequence(oid('1.2.840.113549.1.1.8'), hashAlgorithm)),
      tlv(0xa2, integer(length)),
    ),
  )
}

function signed(content: Buffer, key: KeyObject, digest: keyof typeof sha, isPss: boolean): Buffer {
  const saltLength = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }[digest]
  const padding = isPss ? { padding: 6, saltLength } : {}
  return sign(key.asymmetricKeyType === 'ed25519' ? null : digest, content, { key, ...padding })
}

let serials = 0

function nextSerial(): Buffer {
  serials += 1
  return Buffer.from([0x01, serials >> 16, (serials >> 8) & 0xff, serials & 0xff])
}

/** @param issuer undefined: it signs itself. */
export function makeCertificate(
  issuer: TestCertificate | undefined,
  options: CertificateOptions = {},
): TestCertificate {
  const { isCa = false, digest = 'sha256', isPss = false, version = 2 } = options
  const { privateKey, publicKey } = options.keyOf ?? keyPair(options.key ?? 'p256')
  const subject = typeof options.subject === 'object' ? options.subject : plainName(options.subject ?? '')
  const serial = options.serial ?? nextSerial()
  const now = nowSeconds()
  const signer = issuer?.privateKey ?? privateKey
  const algorithm = signatureAlgorithm(signer, digest, isPss)
  const {
    keyUsage = isCa ? usage.keyCertSign | usage.cRLSign : usage.digitalSignature,
    extendedKeyUsage = isCa ? null : [clientAuth],
  } = options
  const pathLength = options.pathLength === undefined ? [] : [integer(options.pathLength)]
  const extensions = [
    extension('2.5.29.19', true, sequence(...(isCa ? [truth(true), ...pathLength] : []))),
    ...(keyUsage === null ? [] : [extension('2.5.29.15', true, usageBits(keyUsage))]),
    ...(extendedKeyUsage === null
      ? []
      : [extension('2.5.29.37', false, sequence(...extendedKeyUsage.map(oid)))]),
    ...(options.names === undefined ? [] : [extension('2.5.29.17', false, sequence(...options.names))]),
    ...(options.extensions ?? []),
  ]
  const content = sequence(
    ...(version === 0 ? [] : [tlv(0xa0, integer(version))]),
    integer(serial),
    algorithm,
    name(issuer?.subject ?? subject),
    sequence(time(now + (options.from ?? -3_600)), time(now + (options.until ?? 86_400))),
    name(subject),
    publicKey.export({ format: 'der', type: 'spki' }),
    ...(version === 2 ? [tlv(0xa3, sequence(...extensions))] : []),
  )
  const der = sequence(content, algorithm, bits(signed(content, signer, digest, isPss)))
  return {
    der,
    pem: pem('CERTIFICATE', der),
    subject,
    serial,
    privateKey,
    publicKey,
    keyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
  }
}

function usageBits(value: number): Buffer {
  let unused = 0
  while (unused < 7 && ((value >> unused) & 1) === 0) unused += 1
  return bits(Buffer.from([value]), unused)
}

export const makeCa = (
  subject: string,
  options: CertificateOptions = {},
  issuer?: TestCertificate,
): TestCertificate => makeCertificate(issuer, { subject, isCa: true, ...options })

/** @param kind `permitted` or `excluded`. */
export function nameConstraints(kind: 'permitted' | 'excluded', ...bases: readonly Buffer[]): Buffer {
  const subtrees = tlv(kind === 'permitted' ? 0xa0 : 0xa1, ...bases.map((base) => sequence(base)))
  return extension('2.5.29.30', true, sequence(subtrees))
}

export interface ListOptions {
  /** Seconds from now. */
  readonly from?: number
  readonly until?: number | null
  readonly extensions?: readonly Buffer[]
  /** Who signs it, if it is not the CA that it names. */
  readonly signer?: KeyObject
}

/** A revocation list, in PEM. */
export function makeRevocationList(
  issuer: TestCertificate,
  revoked: readonly TestCertificate[],
  { from = -3_600, until = 86_400, extensions = [], signer = issuer.privateKey }: ListOptions = {},
): string {
  const now = nowSeconds()
  const algorithm = signatureAlgorithm(signer, 'sha256', false)
  const content = sequence(
    integer(1),
    algorithm,
    name(issuer.subject),
    time(now + from),
    ...(until === null ? [] : [time(now + until)]),
    ...(revoked.length === 0
      ? []
      : [sequence(...revoked.map(({ serial }) => sequence(integer(serial), time(now))))]),
    ...(extensions.length === 0 ? [] : [tlv(0xa0, sequence(...extensions))]),
  )
  return pem('X509 CRL', sequence(content, algorithm, bits(signed(content, signer, 'sha256', false))))
}

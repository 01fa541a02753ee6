// The library needs it, and needs it first.
import 'reflect-metadata'
import { createPrivateKey, createPublicKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  CRLNumber,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_cRLNumber,
  id_ce_nameConstraints,
  NameConstraints,
} from '@peculiar/asn1-x509'
import * as x509 from '@peculiar/x509'
import { dateOf } from '../lib/moment.ts'
import type { AlternativeName } from './alternative-name.ts'
import type { Permitted } from './permitted.ts'
import { CertificateProblem } from './problem.ts'

/** What is signed, by @peculiar/x509. Nothing here reads a file or a clock, or chooses a serial number. */

/** P-256 and SHA-256: every TLS library has them. */
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** What a certificate may be used for (RFC 5280 §4.2.1.12). */
export type CertificateUse = 'server' | 'client'

export const certificateUses: readonly CertificateUse[] = ['server', 'client']

const usageOf: Readonly<Record<CertificateUse, x509.ExtendedKeyUsage>> = {
  server: x509.ExtendedKeyUsage.serverAuth,
  client: x509.ExtendedKeyUsage.clientAuth,
}

const kindOf = { dns: 'dns', uri: 'url', ip: 'ip', email: 'email' } as const

/** In seconds since 1970. */
interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

export interface SigningAuthority {
  /** PEM. */
  readonly certificate: string
  readonly privateKey: KeyObject
}

export interface NewPair {
  /** PEM, PKCS #8. */
  readonly privateKey: string
  readonly publicKey: KeyObject
}

export async function generatePair(): Promise<NewPair> {
  const { privateKey, publicKey } = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const pem = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY')
  const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', publicKey))
  return {
    privateKey: `${pem}\n`,
    publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
  }
}

/** A CA that signs certificates and no other CA (pathLenConstraint 0). @returns PEM. */
export async function signAuthority(
  of: Validity & {
    readonly subject: string
    readonly serialNumber: string
    readonly privateKey: string
    readonly permitted: Permitted | undefined
  },
): Promise<string> {
  const privateKey = createPrivateKey(of.privateKey)
  const publicKey = cryptoKey(createPublicKey(privateKey))
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: of.serialNumber,
    name: [{ CN: [of.subject] }],
    notBefore: dateOf(of.notBefore),
    notAfter: dateOf(of.notAfter),
    signingAlgorithm: algorithm,
    keys: { privateKey: cryptoKey(privateKey), publicKey },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(of.permitted === undefined ? [] : [nameConstraints(of.permitted)]),
    ],
  })
  return pemOf(certificate)
}

/** @returns PEM. */
export async function signCertificate(
  authority: SigningAuthority,
  of: Validity & {
    readonly subject: string
    readonly serialNumber: string
    readonly publicKey: KeyObject
    readonly names: readonly AlternativeName[]
    readonly uses: readonly CertificateUse[]
  },
): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificate)
  const publicKey = cryptoKey(of.publicKey)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: of.serialNumber,
    subject: [{ CN: [of.subject] }],
    issuer: issuer.subjectName,
    notBefore: dateOf(of.notBefore),
    notAfter: dateOf(of.notAfter),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: cryptoKey(authority.privateKey),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(of.uses.map((use) => usageOf[use])),
      ...(of.names.length === 0 ? [] : [subjectAlternativeName(of.names)]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  })
  return pemOf(certificate)
}

export interface RevokedEntry {
  readonly serialNumber: string
  readonly revokedAt: number
}

/** A list of revoked certificates (RFC 5280 §5). @returns PEM. */
export async function signRevocationList(
  authority: SigningAuthority,
  of: {
    /** Grows with every list (RFC 5280 §5.2.3). */
    readonly number: number
    readonly thisUpdate: number
    readonly nextUpdate: number
    readonly revoked: readonly RevokedEntry[]
  },
): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificate)
  const number = AsnConvert.serialize(new CRLNumber(of.number))
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate: dateOf(of.thisUpdate),
    nextUpdate: dateOf(of.nextUpdate),
    signingAlgorithm: algorithm,
    signingKey: cryptoKey(authority.privateKey),
    entries: of.revoked.map(({ serialNumber, revokedAt }) => ({
      serialNumber,
      revocationDate: dateOf(revokedAt),
      // Without an extension the library writes an empty list of them, which RFC 5280 §5.1 does not allow.
      invalidity: dateOf(revokedAt),
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      new x509.Extension(id_ce_cRLNumber, false, number),
    ],
  })
  // The library's own label is not the one that OpenSSL and RFC 7468 §5 know.
  return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`
}

/** The serial numbers and the dates of a list. @throws CertificateProblem if it is not a revocation list. */
export function readRevocationList(pem: string, path: string) {
  try {
    return contentOf(new x509.X509Crl(x509.PemConverter.decodeFirst(pem)))
  } catch (error) {
    throw new CertificateProblem('authority_damaged', { path, problem: 'is not a CRL' }, { cause: error })
  }
}

function contentOf({ thisUpdate, nextUpdate, entries }: x509.X509Crl) {
  return {
    thisUpdate: Math.floor(thisUpdate.getTime() / 1000),
    nextUpdate: Math.floor((nextUpdate ?? thisUpdate).getTime() / 1000),
    serialNumbers: entries.map(({ serialNumber }) => serialNumber),
  }
}

const pemOf = (certificate: x509.X509Certificate): string => `${certificate.toString('pem')}\n`

function cryptoKey(key: KeyObject): webcrypto.CryptoKey {
  return key.toCryptoKey(algorithm, true, [key.type === 'private' ? 'sign' : 'verify'])
}

function subjectAlternativeName(names: readonly AlternativeName[]): x509.Extension {
  return new x509.SubjectAlternativeNameExtension(
    names.map(({ kind, value }) => ({ type: kindOf[kind], value })),
  )
}

/** RFC 5280 §4.2.1.10. Critical, as it demands: a program that does not understand it must refuse. */
function nameConstraints({ domains, networks }: Permitted): x509.Extension {
  const permitted = [
    // A domain with all below it in DNS. In a URI and in a mailbox this takes two: the dot means "below" there.
    ...domains.map((domain) => new GeneralName({ dNSName: domain })),
    ...domains.flatMap((domain) => [
      new GeneralName({ uniformResourceIdentifier: domain }),
      new GeneralName({ uniformResourceIdentifier: `.${domain}` }),
      new GeneralName({ rfc822Name: domain }),
      new GeneralName({ rfc822Name: `.${domain}` }),
    ]),
    ...networks.map(
      ({ address, prefixLength }) => new GeneralName({ iPAddress: `${address}/${prefixLength}` }),
    ),
  ]
  const constraints = new NameConstraints({
    permittedSubtrees: new GeneralSubtrees(permitted.map((base) => new GeneralSubtree({ base }))),
  })
  return new x509.Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints))
}

/** Whether a certificate has the key. */
export function isPair(certificate: string, privateKey: string): boolean {
  return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey))
}

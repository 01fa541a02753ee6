import { hash as digest } from 'node:crypto'
import { type PresentedCertificate, presentedCertificate } from '../authentication/certificate.ts'
import { pemBlocks, pemOf } from '../lib/pem.ts'
import { limits } from '../limits.ts'
import { OAuthError } from '../refusals.ts'

/**
 * The certificate of a caller in a header of the proxy that ended TLS. Whose header it is decides client-trust.ts. Here
 * it is read, in the one spelling that the proxy has for it: what two programs could read in two ways is refused.
 */
export type CertificateHeaderForm = 'rfc9440' | 'nginx' | 'xfcc'

/** The headers of each form. The certificate is in the first one. */
const headersOf: Readonly<Record<CertificateHeaderForm, readonly string[]>> = {
  rfc9440: ['client-cert', 'client-cert-chain'],
  nginx: ['ssl-client-cert', 'ssl-client-verify'],
  xfcc: ['x-forwarded-client-cert'],
}

const all: ReadonlySet<string> = new Set(Object.values(headersOf).flat())

/** Programs behind a gateway read every such sign as the same one, so others may take the header for the real one. */
const isSpeltLike = (name: string): boolean => all.has(name.replace(/[^a-z0-9]/g, '-'))

/** A header by its name in lower case. */
export type CertificateHeader = readonly [name: string, value: string]

/**
 * Every header of a request that says something about a certificate, whatever its form and spelling.
 * @param rawHeaders names and values in turn, as they arrived.
 * @returns undefined if there is none.
 */
export function certificateHeaders(rawHeaders: readonly string[]): CertificateHeader[] | undefined {
  let found: CertificateHeader[] | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    if (!isSpeltLike(name)) continue
    found ??= []
    found.push([name, rawHeaders[index + 1] ?? ''])
  }
  return found
}

/**
 * The certificate that the proxy says its caller has; undefined if it says that there is none.
 * @throws OAuthError
 */
export function readCertificateHeaders(
  headers: readonly CertificateHeader[],
  form: CertificateHeaderForm,
): PresentedCertificate | undefined {
  const [first = '', second = ''] = headersOf[form]
  const values = new Map<string, string>()
  for (const [name, value] of headers) {
    if (name !== first && name !== second) throw new OAuthError('certificate_header_unexpected')
    if (values.has(name)) throw new OAuthError('certificate_header_repeated')
    if (value === '' || value.length > limits.certificateHeaderCharactersMax) throw malformed()
    values.set(name, value)
  }
  return readers[form](values.get(first), values.get(second))
}

const malformed = () => new OAuthError('certificate_header_malformed')
const contradictory = () => new OAuthError('certificate_header_contradictory')

type Reader = (first: string | undefined, second: string | undefined) => PresentedCertificate | undefined

const readers: Readonly<Record<CertificateHeaderForm, Reader>> = {
  rfc9440: readClientCert,
  nginx: readEscaped,
  xfcc: (value) => (value === undefined ? undefined : readForwarded(value)),
}

/** What was sent along is bounded here too: a header is read before the client is known. */
function presented(leaf: Buffer, intermediates: readonly Buffer[]): PresentedCertificate {
  if (intermediates.length >= limits.certificatesPresentedMax) throw malformed()
  return presentedCertificate(leaf, intermediates)
}

// ── RFC 9440 ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function readClientCert(
  certificate: string | undefined,
  chain: string | undefined,
): PresentedCertificate | undefined {
  if (certificate === undefined) {
    // RFC 9440 §2.3: there is no chain without a certificate.
    if (chain !== undefined) throw contradictory()
    return undefined
  }
  const others = chain === undefined ? [] : chain.split(',').map(withoutSpaces)
  return presented(byteSequence(certificate), others.map(byteSequence))
}

/** An expression that looks for spaces before a comma would take the square of their number. */
function withoutSpaces(text: string): string {
  let [start, end] = [0, text.length]
  while (text[start] === ' ' || text[start] === '\t') start += 1
  while (end > start && (text[end - 1] === ' ' || text[end - 1] === '\t')) end -= 1
  return text.slice(start, end)
}

/** A byte sequence (RFC 9651 §3.3.5) without parameters, in base64 as its own rules write it. */
function byteSequence(text: string): Buffer {
  const base64 = text.slice(1, -1)
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.length === 0 || text !== `:${bytes.toString('base64')}:`) throw malformed()
  return bytes
}

// ── nginx ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `$ssl_client_escaped_cert`, and `$ssl_client_verify` where the proxy sends it. */
function readEscaped(
  certificate: string | undefined,
  verified: string | undefined,
): PresentedCertificate | undefined {
  const isVerified = verified === undefined || verified === 'SUCCESS'
  if (certificate === undefined) {
    if (verified !== undefined && verified !== 'NONE') throw contradictory()
    return undefined
  }
  if (!isVerified) throw contradictory()
  const [leaf, ...more] = escapedCertificates(certificate)
  if (leaf === undefined || more.length > 0) throw malformed()
  return presented(leaf, [])
}

/** Certificates in PEM in percent-encoding, of which there is one spelling: nginx and Envoy write the same. */
function escapedCertificates(value: string): Buffer[] {
  let text: string
  let certificates: Buffer[]
  try {
    text = decodeURIComponent(value)
    certificates = pemBlocks(text).map(({ der }) => der)
  } catch {
    throw malformed()
  }
  const canonical = certificates.map((der) => pemOf('CERTIFICATE', der)).join('')
  const isCanonical = text === canonical || `${text}\n` === canonical
  if (certificates.length === 0 || !isCanonical || encodeURIComponent(text) !== value) throw malformed()
  return certificates
}

// ── Envoy ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `;` separates the parts of one hop. Between hops there is a comma. */
const part = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))(;|$)/y

/** What a hop may say. Names are only read from the certificate, so names in the header are ignored. */
const saidOnce: ReadonlySet<string> = new Set(['Hash', 'Cert', 'Chain', 'Subject'])
const saidOften: ReadonlySet<string> = new Set(['By', 'URI', 'DNS'])

/** Of one hop: with two, the first was written by the caller. */
function readForwarded(value: string): PresentedCertificate {
  const said = new Map<string, string>()
  let at = 0
  if (value.endsWith(';')) throw malformed()
  while (at < value.length) {
    part.lastIndex = at
    const match = part.exec(value)
    if (match === null) throw malformed()
    const [whole, key = '', quoted, bare = ''] = match
    if (!saidOften.has(key) && (!saidOnce.has(key) || said.has(key))) throw malformed()
    said.set(key, quoted ?? bare)
    at += whole.length
  }
  const [certificate, chain, hash] = [said.get('Cert'), said.get('Chain'), said.get('Hash')]
  const all = chain === undefined ? [] : escapedCertificates(chain)
  const own = certificate === undefined ? all.slice(0, 1) : escapedCertificates(certificate)
  const [leaf, ...more] = own
  if (leaf === undefined || more.length > 0 || hash === undefined) throw malformed()
  const result = presented(leaf, all.slice(1))
  // The chain begins with the certificate itself. What Envoy says first is the hash: a name in a certificate that looks
  // like another part of the header does not get by it.
  const isSame = all[0] === undefined || all[0].equals(leaf)
  if (!isSame || hash !== digest('sha256', leaf, 'hex')) throw contradictory()
  return result
}

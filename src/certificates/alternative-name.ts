import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { parseNetwork } from '../lib/network.ts'
import { CertificateProblem, type NameKind, type NameMistake } from './problem.ts'

/**
 * A name in the subjectAltName of a certificate (RFC 5280 §4.2.1.6), in the one spelling that it is compared in.
 * Everything is ASCII: other characters have an encoding in each kind, and readers disagree about it.
 */
export interface AlternativeName {
  readonly kind: NameKind
  readonly value: string
}

export const nameKinds: readonly NameKind[] = ['dns', 'uri', 'ip', 'email']

const lengthMax: Readonly<Record<NameKind, number>> = { dns: 253, uri: 2_048, ip: 45, email: 254 }

/** @throws CertificateProblem that says what is wrong with the text. */
export function parseAlternativeName(kind: NameKind, text: string): AlternativeName {
  const refuse = (mistake: NameMistake, instead?: string): never => {
    throw new CertificateProblem('alternative_name_refused', { kind, text, mistake, instead })
  }
  if (text.length > lengthMax[kind]) refuse('too_long')
  // A name in another script, and a control character, which no certificate may have.
  if (!/^[\x21-\x7e]+$/.test(text))
    refuse(/[^\0-\x7f]/.test(text) ? 'not_ascii' : 'malformed', inAscii(kind, text))
  return { kind, value: parsers[kind](text, refuse) }
}

type Refuse = (mistake: NameMistake, instead?: string) => never

const parsers: Readonly<Record<NameKind, (text: string, refuse: Refuse) => string>> = {
  dns: parseDns,
  uri: parseUri,
  ip: parseAddress,
  email: parseEmail,
}

/** How a domain in another script is written in DNS: xn--…. */
function inAscii(kind: NameKind, text: string): string | undefined {
  const ascii = kind === 'dns' ? domainToASCII(text) : ''
  return ascii === '' ? undefined : ascii
}

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const domainForm = new RegExp(`^${label}(?:\\.${label})*$`)

/** Names of hosts (RFC 1123 §2.1). A wildcard stands for one label, and needs two fixed ones behind it. */
function parseDns(text: string, refuse: Refuse): string {
  const name = text.toLowerCase()
  if (isIP(name) !== 0) refuse('is_address')
  if (/^[a-z][a-z0-9+.-]*:\/\//.test(name)) refuse('is_url', hostOf(text))
  if (name.includes('@')) refuse('is_email')
  if (name.endsWith('.') && domainForm.test(name.slice(0, -1))) refuse('malformed', name.slice(0, -1))
  const fixed = name.startsWith('*.') ? name.slice(2) : name
  if (fixed.includes('*') || (fixed !== name && !fixed.includes('.'))) refuse('wildcard')
  if (!domainForm.test(fixed)) refuse('malformed')
  // A name that ends in a number is read as an address by browsers (WHATWG URL §3.5).
  if (/(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(fixed)) refuse('malformed')
  return name
}

function hostOf(text: string): string | undefined {
  return URL.canParse(text) ? new URL(text).hostname : undefined
}

function parseUri(text: string, refuse: Refuse): string {
  if (!/^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text)) refuse('relative')
  if (!/^[\w.~:/?#[\]@!$&'()*+,;=%-]+$/.test(text) || /%(?![0-9a-fA-F]{2})/.test(text)) refuse('malformed')
  if (text.includes('#')) refuse('has_fragment')
  if (/^spiffe:/i.test(text)) return parseSpiffeId(text, refuse)
  // RFC 5280 §4.2.1.6: a scheme with an authority has a host in it. Name constraints look at that host.
  const authority = /^[^:]+:\/\/([^/?]*)/.exec(text)?.[1]
  if (authority === undefined) return text
  if (authority.includes('@')) refuse('has_user')
  const host = authority.replace(/:\d*$/, '').toLowerCase()
  if (!domainForm.test(host) && isIP(host.replace(/^\[|\]$/g, '')) === 0) refuse('malformed')
  return text
}

/** SPIFFE-ID §2: one spelling for one workload, and nothing in it that a reader could leave out. */
function parseSpiffeId(text: string, refuse: Refuse): string {
  const [, trustDomain = '', path = ''] = /^spiffe:\/\/([^/]*)(.*)$/.exec(text) ?? []
  if (text.includes('?') || trustDomain.includes('@') || trustDomain.includes(':')) refuse('spiffe_extra')
  if (!/^[a-z0-9._-]{1,255}$/.test(trustDomain)) refuse('spiffe_trust_domain')
  const segments = path === '' ? [] : path.slice(1).split('/')
  const isSegment = (segment: string): boolean =>
    /^[a-zA-Z0-9._-]+$/.test(segment) && segment !== '.' && segment !== '..'
  if (!segments.every(isSegment)) refuse('spiffe_path')
  return text
}

function parseAddress(text: string, refuse: Refuse): string {
  if (text.includes('/')) refuse('is_network')
  if (isIP(text) === 0 || text.includes('%')) refuse('malformed')
  return parseNetwork(text).address.toString()
}

/** A plain mailbox (RFC 5280 §4.2.1.6): no name, no quotes, no comment. */
function parseEmail(text: string, refuse: Refuse): string {
  const [, local = '', domain = ''] = /^([\w.!#$%&'*+/=?^`{|}~-]{1,64})@(.+)$/.exec(text) ?? []
  if (local === '' || /^\.|\.$|\.\./.test(local) || !domainForm.test(domain.toLowerCase()))
    refuse('malformed')
  return `${local}@${domain.toLowerCase()}`
}

const alternativeNamesMax = 100

/** All names of a certificate, each once. @throws CertificateProblem. */
export function parseAlternativeNames(
  given: Readonly<Record<NameKind, readonly string[]>>,
): readonly AlternativeName[] {
  const all = nameKinds.flatMap((kind) => given[kind].map((text) => parseAlternativeName(kind, text)))
  const names = [...new Map(all.map((name) => [`${name.kind} ${name.value}`, name])).values()]
  if (names.length > alternativeNamesMax)
    throw new CertificateProblem('alternative_names_too_many', {
      count: names.length,
      limit: alternativeNamesMax,
    })
  const uris = names.filter(({ kind }) => kind === 'uri')
  const spiffe = uris.find(({ value }) => value.startsWith('spiffe:'))
  // X.509-SVID §2: exactly one URI, or no verifier of SPIFFE accepts the certificate.
  if (spiffe !== undefined && uris.length > 1)
    throw new CertificateProblem('alternative_name_refused', {
      kind: 'uri',
      text: spiffe.value,
      mistake: 'spiffe_several',
      instead: undefined,
    })
  return names
}

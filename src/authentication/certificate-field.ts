import { addressBytes } from '../lib/network.ts'
import { limits } from '../limits.ts'
import type { CertificateField, CertificateFieldName } from '../registry/client.ts'
import { NameProblem, nameText, parseName } from './distinguished-name.ts'

/**
 * The one field of a certificate that a client is known by (RFC 8705 §2.1.2): what may be registered, and whether a
 * certificate has it. Each field is compared with names of its own type and no other. The common name is never looked at
 * by itself.
 */

/** The names in a certificate. All of them are the certificate's own, and none is from the rest of its chain. */
export interface CertificateNames {
  /** The text of the subject (distinguished-name.ts). */
  readonly subject: string
  readonly dns: readonly string[]
  readonly uris: readonly string[]
  /** Addresses as bytes in hex. */
  readonly addresses: readonly string[]
  readonly emails: readonly string[]
}

type Matches = (names: CertificateNames) => boolean

interface FieldRule {
  /** What is wrong with a value that somebody wants to register; undefined if nothing is. */
  readonly problem: (value: string) => string | undefined
  /** @param value one without a problem. */
  readonly matcher: (value: string) => Matches
}

/** Labels of letters, digits, hyphens and underscores, without a dot at the end. No wildcard. */
const dnsName =
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/

/**
 * A SPIFFE ID of a workload (SPIFFE-ID §2): a trust domain in lower case and a path, and nothing that programs read in
 * different ways: no port, no query, no percent sign, no empty or dotted segment.
 */
const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/

const absoluteUri = /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/

const isSpiffe = (uri: string): boolean => /^spiffe:/i.test(uri)

const emailForm = /^[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,255}$/

const rules: Readonly<Record<CertificateFieldName, FieldRule>> = {
  tls_client_auth_subject_dn: {
    problem: (value) => {
      try {
        parseName(value)
        return undefined
      } catch (error) {
        if (!(error instanceof NameProblem)) throw error
        return `is no distinguished name (RFC 4514): it ${error.message}`
      }
    },
    matcher: (value) => {
      const wanted = nameText(parseName(value))
      return ({ subject }) => subject === wanted
    },
  },
  tls_client_auth_san_dns: {
    problem: (value) => {
      if (value.includes('*')) return 'has a wildcard: a client is known by one whole name'
      return dnsName.test(value)
        ? undefined
        : 'is no DNS name: write it like billing.example.com, without a dot at its end'
    },
    matcher: (value) => {
      const wanted = value.toLowerCase()
      // Host names have no case (RFC 4343).
      return ({ dns }) => dns.some((name) => name.toLowerCase() === wanted)
    },
  },
  tls_client_auth_san_uri: {
    problem: (value) => {
      if (isSpiffe(value)) {
        return spiffeId.test(value)
          ? undefined
          : 'is no SPIFFE ID of a workload: write it like spiffe://example.org/billing, without port, query, %, dots as segments, or a slash at its end'
      }
      return absoluteUri.test(value) ? undefined : 'is no absolute URI'
    },
    // A certificate with a SPIFFE ID has no other URI (X509-SVID §2).
    matcher: (value) =>
      isSpiffe(value)
        ? ({ uris }) => uris.length === 1 && uris[0] === value
        : ({ uris }) => uris.includes(value),
  },
  tls_client_auth_san_ip: {
    problem: (value) =>
      addressBytes(value) === undefined
        ? 'is no IP address: write it like 10.0.0.7 or 2001:db8::7'
        : undefined,
    matcher: (value) => {
      const wanted = addressBytes(value)
      return ({ addresses }) => wanted !== undefined && addresses.includes(wanted)
    },
  },
  tls_client_auth_san_email: {
    problem: (value) => (emailForm.test(value) ? undefined : 'is no e-mail address in ASCII'),
    matcher: (value) => {
      const wanted = mailbox(value)
      return ({ emails }) => wanted !== undefined && emails.some((email) => mailbox(email) === wanted)
    },
  },
}

/** The part before the @ has a case, and the host has none (RFC 5280 §7.5). */
function mailbox(email: string): string | undefined {
  return emailForm.test(email) ? email.replace(/@.*/, (host) => host.toLowerCase()) : undefined
}

/** What is wrong with a value that somebody wants to register; undefined if nothing is. */
export function fieldProblem({ name, value }: CertificateField): string | undefined {
  const most = limits.certificateFieldCharactersMax
  return value.length > most ? `is longer than ${most} characters` : rules[name].problem(value)
}

const matchers = new WeakMap<CertificateField, Matches>()

/**
 * Whether a certificate has the field that a client is known by. A value that could not be registered fits no
 * certificate.
 */
export function fieldMatches(field: CertificateField, names: CertificateNames): boolean {
  let matches = matchers.get(field)
  if (matches === undefined) {
    // Its row may have been written by hand.
    const isUsable = Object.hasOwn(rules, field.name) && fieldProblem(field) === undefined
    matches = isUsable ? rules[field.name].matcher(field.value) : () => false
    matchers.set(field, matches)
  }
  return matches(names)
}

import {
  CertificateProblem,
  type CertificateProblemCode,
  type CertificateProblemFields,
  type NameKind,
  type NameMistake,
} from '../../certificates/problem.ts'
import { exitCodes, OperatorError } from '../../errors.ts'
import { counted, shownMoment } from './output.ts'

/** What an operator is told about the development CA: what happened, and then what to do. */

const quoted = (text: string): string => JSON.stringify(text)

const nouns: Readonly<Record<NameKind, string>> = {
  dns: 'a DNS name like orders.example.com or *.orders.example.com',
  uri: 'a URI like spiffe://example.org/orders',
  ip: 'an address like 10.0.0.7 or 2001:db8::7',
  email: 'an e-mail address like orders@example.com',
}

const mistakes: Readonly<Record<NameMistake, string | undefined>> = {
  malformed: undefined,
  not_ascii: 'Only ASCII characters can stand in it.',
  too_long: 'It is too long.',
  is_address: 'It is an address: use --ip.',
  is_network: 'It is a network. A certificate is for single addresses.',
  is_url: 'It is a URL: use --uri for it.',
  is_email: 'It is an e-mail address: use --email.',
  wildcard: 'A wildcard is the whole first label, with two labels or more behind it.',
  relative: 'It has no scheme.',
  has_user: 'A URI in a certificate has no user.',
  has_fragment: 'A URI in a certificate has no fragment.',
  spiffe_trust_domain: 'The trust domain of a SPIFFE ID has lower-case letters, digits and . _ - only.',
  spiffe_path:
    'The path of a SPIFFE ID has segments of letters, digits and . _ - only, none of them empty, "." or "..", and no slash at its end.',
  spiffe_extra: 'A SPIFFE ID has no user, port, query or fragment.',
  spiffe_several: 'A certificate with a SPIFFE ID has no other URI.',
}

const certificateSentences: {
  readonly [Code in CertificateProblemCode]: (fields: CertificateProblemFields[Code]) => string
} = {
  authority_missing: ({ directory }) => `${directory}: there is no CA. "bin/mintmark ca init" creates one.`,
  authority_exists: ({ directory }) =>
    `${directory}: there is already a CA. Nothing was changed. "bin/mintmark ca show" shows it. To start again, ` +
    `delete the directory. After that, nothing ` +
    'that this CA signed can be renewed or revoked.',
  authority_expired: ({ directory, expiredAt }) =>
    `${directory}: the CA expired ${shownMoment(expiredAt)}. Move the directory away, create another one with ` +
    '"bin/mintmark ca init", and give its ca.crt to everybody who trusts the old one.',
  authority_busy: ({ path, processId }) =>
    `${processId === undefined ? 'Another process' : `Process ${processId}`} is changing the CA. Run the command again ` +
    `when it has ended. If there is no such process, it was killed: then delete ${path}.`,
  authority_damaged: ({ path, problem }) =>
    `${path}: ${problem}. Nothing was changed. Restore the file, or create another CA.`,
  directory_taken: ({ directory }) =>
    `${directory}: the directory has other files. Nothing was changed. Name a new or empty directory with ` +
    `--directory.`,
  file_failed: ({ path, problem }) => `${path}: cannot work with it: ${problem}.`,
  name_malformed: ({ name }) =>
    `NAME: ${quoted(name)} is not a name for a certificate. The name is also the name of a directory: at most ` +
    `63 lower-case letters, digits ` +
    'and . _ - with a letter or digit at both ends.',
  name_reserved: ({ name }) => `NAME: ${quoted(name)} belongs to the CA itself. Use another name.`,
  certificate_exists: ({ name, expiresAt }) =>
    `There is already a certificate for ${name}, valid until ${shownMoment(expiresAt)}. "bin/mintmark ca renew ${name}" ` +
    `renews it. To change what it is for: "bin/mintmark ca revoke ${name}", then issue it again.`,
  certificate_missing({ name, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return `The CA has issued no certificate for ${quoted(name)}.${hint} "bin/mintmark ca show" shows them all.`
  },
  certificate_revoked: ({ name }) =>
    `The certificate for ${name} was revoked, so it cannot be renewed. "bin/mintmark ca issue ${name}" issues ` +
    `another one.`,
  certificate_differs: ({ path }) =>
    `${path}: tls.key is not the key of tls.crt. Add --new-key to replace both, or put the right files back.`,
  alternative_names_missing: () =>
    'A server needs a name that its callers know. Add --dns, --ip, --uri or --email, or --client for a caller only.',
  alternative_names_too_many: ({ count, limit }) =>
    `A certificate can have ${limit} names, and these are ${count}. Issue several certificates.`,
  alternative_name_refused({ kind, text, mistake, instead }) {
    const why = mistakes[mistake] ?? `Write ${nouns[kind]}.`
    return `--${kind}: ${quoted(text)} cannot stand in a certificate. ${why}${instead === undefined ? '' : ` Did you mean ${instead}?`}`
  },
  alternative_name_not_permitted: ({ kind, text, permitted }) =>
    `--${kind}: ${text} is not among the names that this CA may sign for: ${permitted.join(', ')}. Nobody would ` +
    `accept it. ` +
    'These names are chosen when a CA is created, with "bin/mintmark ca init --permit".',
  name_not_permitted: ({ name }) =>
    `NAME: ${quoted(name)} has a dot, so it can be taken for a host that this CA may not sign for. Use a name without dots.`,
  permitted_malformed: ({ text }) =>
    `--permit: ${quoted(text)} is neither a domain nor a network. Write a domain like example.internal, ` +
    'which permits its subdomains too, or a network like 10.0.0.0/8.',
  lifetime_refused: ({ days, least, most }) =>
    `--days: ${quoted(days)} is not a number of days from ${least} to ${most}.`,
  lifetime_beyond_authority: ({ days, most }) =>
    `--days: the CA expires in ${counted(most, 'day')}, before a certificate for ${days} days would. Write ${most} or less.`,
}

/** Mistakes in a call: nothing was done, and the exit code is that of a wrong call. */
const wrongCalls: readonly CertificateProblemCode[] = [
  'name_malformed',
  'name_reserved',
  'alternative_names_missing',
  'alternative_names_too_many',
  'alternative_name_refused',
  'permitted_malformed',
  'lifetime_refused',
]

/** Rethrows a problem of the CA as the line that an operator reads. For `catch`. */
export function throwCertificateProblem(error: unknown): never {
  if (!(error instanceof CertificateProblem)) throw error
  const { code, fields }: CertificateProblem = error
  const sentence = (certificateSentences[code] as (fields: unknown) => string)(fields)
  const exitCode = wrongCalls.includes(code)
    ? exitCodes.usage
    : code === 'certificate_missing'
      ? exitCodes.notFound
      : exitCodes.failed
  throw new OperatorError(sentence, { cause: error, exitCode })
}

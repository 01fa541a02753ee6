import { parseAlternativeNames } from '../../certificates/alternative-name.ts'
import { certificateDays, parseDays } from '../../certificates/lifetime.ts'
import type { IssuedCertificate } from '../../certificates/record.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { directoryOption, withAuthority } from '../terminal/authority.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { json, print, shownMoment } from '../terminal/output.ts'
import { shellQuoted } from '../terminal/shell.ts'

const nameOption = (value: string, description: string) =>
  ({ type: 'string', value, multiple: true, description }) as const

export const nameArgument = {
  name: 'NAME',
  description: 'what it is called here: the CN of its subject, and the directory of its files',
} as const

export const caIssue = defineCommand({
  path: ['ca', 'issue'],
  summary: 'issue a certificate and its key',
  details:
    'Writes tls.crt, tls.key (mode 0600) and ca.crt into a directory of this name, as a Secret of cert-manager has them.\n' +
    'All three are replaced at the same moment, so nobody ever sees a certificate together with the key of another one.\n' +
    'The certificate is for servers and for clients unless --server or --client says otherwise.',
  positionals: [nameArgument],
  options: {
    dns: nameOption('NAME', 'a DNS name'),
    uri: nameOption('URI', 'a URI, such as a SPIFFE ID'),
    ip: nameOption('ADDRESS', 'an address'),
    email: nameOption('ADDRESS', 'an e-mail address'),
    server: { type: 'boolean', description: 'for a server only' },
    client: { type: 'boolean', description: 'for a client only' },
    days: {
      type: 'string',
      value: 'DAYS',
      description: `how long it lives, at most ${certificateDays.most}; ${certificateDays.usual} by default`,
    },
    ...directoryOption,
    ...jsonOption,
  },
  examples: [
    [
      'bin/mintmark ca issue localhost --dns localhost --ip 127.0.0.1 --server',
      'for a service on this machine',
    ],
    ['bin/mintmark ca issue billing --uri spiffe://example.org/billing --client --days 7', 'for a caller'],
    ['bin/mintmark ca issue orders --dns orders.example.internal --dns orders --days 90', 'for both'],
  ],
  async run(options, [name = '']) {
    await withAuthority(options.directory, async (context) => {
      const names = parseAlternativeNames(options)
      const days = options.days === undefined ? undefined : parseDays(options.days, certificateDays)
      const { issueCertificate } = await import('../../certificates/authority.ts')
      const isBoth = options.server === options.client
      const uses = (['server', 'client'] as const).filter((use) => isBoth || options[use])
      const issued = await issueCertificate(context, { name, names, uses, days })
      if (options.json) print(`${json({ ...issuedFields(context.directory, issued), status: 'issued' })}\n`)
      else print(issuedText(context.directory, issued, 'issued'))
    })
  },
})

export function issuedFields(directory: string, issued: IssuedCertificate): Record<string, unknown> {
  return {
    name: issued.name,
    serial_number: issued.serialNumber,
    names: issued.names.map(({ kind, value }) => `${kind}:${value}`),
    uses: issued.uses,
    issued_at: optionalMoment(issued.issuedAt),
    expires_at: optionalMoment(issued.expiresAt),
    revoked_at: optionalMoment(issued.revokedAt),
    certificate_file: `${directory}/${issued.name}/tls.crt`,
    private_key_file: `${directory}/${issued.name}/tls.key`,
    ca_file: `${directory}/ca.crt`,
  }
}

/** The one name by which the service looks for the certificate (RFC 8705 §2.1.2). A URI is the most precise. */
function registrationOption({ name, names }: IssuedCertificate): string {
  const [first] = ['uri', 'dns', 'ip', 'email'].flatMap((kind) => names.filter((each) => each.kind === kind))
  if (first === undefined || first.value.startsWith('*')) return `--tls-client-auth-subject-dn CN=${name}`
  return `--tls-client-auth-san-${first.kind} ${shellQuoted(first.value)}`
}

/** What happened, and the lines that a reader copies next. */
function issuedText(directory: string, issued: IssuedCertificate, done: string): string {
  const { name, uses, names, expiresAt } = issued
  const isFor = names.length === 0 ? '' : ` for ${names.map(({ value }) => value).join(', ')}`
  const file = (end: string): string => shellQuoted(`${directory}/${end}`)
  const lines = [
    `${name} is ${done}: a certificate of a ${uses.join(' and a ')}${isFor}, valid until ${shownMoment(expiresAt)}.`,
    '',
  ]
  if (uses.includes('server'))
    lines.push(
      '  # Mintmark serves with it:',
      `  MINTMARK_TLS_CERTIFICATE_FILE=${file(`${name}/tls.crt`)} MINTMARK_TLS_PRIVATE_KEY_FILE=${file(`${name}/tls.key`)} npm start`,
    )
  if (uses.includes('client'))
    lines.push(
      '  # A client is registered by it:',
      `  bin/mintmark clients create ${name} --auth-method tls_client_auth ${registrationOption(issued)} --access AUDIENCE=SCOPES`,
      '  # curl shows it:',
      `  curl --cacert ${file('ca.crt')} --cert ${file(`${name}/tls.crt`)} --key ${file(`${name}/tls.key`)} URL`,
    )
  return `${lines.join('\n')}\n`
}

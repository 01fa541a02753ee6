import { certificateFieldNames } from '../../registry/client.ts'
import { yesOrNo } from './arguments.ts'
import { usageError } from './command.ts'

/** Options about the certificate of a client. Each field has its name of RFC 8705 §2.1.2, with hyphens. */
export const certificateOptions = {
  'tls-client-auth-subject-dn': {
    type: 'string',
    value: 'NAME',
    description: 'the subject of its certificate, like CN=billing,O=Example',
  },
  'tls-client-auth-san-dns': {
    type: 'string',
    value: 'NAME',
    description: 'or a DNS name in its certificate',
  },
  'tls-client-auth-san-uri': {
    type: 'string',
    value: 'URI',
    description: 'or a URI in it, such as a SPIFFE ID',
  },
  'tls-client-auth-san-ip': { type: 'string', value: 'ADDRESS', description: 'or an IP address in it' },
  'tls-client-auth-san-email': {
    type: 'string',
    value: 'ADDRESS',
    description: 'or an e-mail address in it',
  },
  'require-certificate': {
    type: 'string',
    value: 'FIELD=VALUE',
    description: 'what a certificate must name that it brings in addition',
  },
  'tls-client-certificate-bound-access-tokens': {
    type: 'string',
    value: 'YES',
    description: 'bind its tokens to its certificate: yes or no',
  },
} as const

export type CertificateOptions = { readonly [Name in keyof typeof certificateOptions]: string | undefined }

/** What the options say, in the words of a file. */
export function certificateWords(options: CertificateOptions): Record<string, unknown> {
  const words: Record<string, unknown> = {}
  for (const name of certificateFieldNames) {
    const value = options[optionOf(name) as keyof CertificateOptions]
    if (value !== undefined) words[name] = value
  }
  const required = options['require-certificate']
  if (required !== undefined) words['require_certificate'] = requiredWords(required)
  const option = 'tls-client-certificate-bound-access-tokens'
  const bound = yesOrNo(option, options[option])
  if (bound !== undefined) words['tls_client_certificate_bound_access_tokens'] = bound
  return words
}

/** A value may contain "=", and a name does not. */
function requiredWords(text: string): Record<string, string> {
  const equals = text.indexOf('=')
  const name = text.slice(0, Math.max(equals, 0)).replaceAll('-', '_')
  if (!(certificateFieldNames as readonly string[]).includes(name)) {
    throw usageError(
      `--require-certificate: write FIELD=VALUE, with ${certificateFieldNames.join(', ')} as FIELD.`,
    )
  }
  return { [name]: text.slice(equals + 1) }
}

const optionOf = (name: string): string => name.replaceAll('_', '-')

/** What says each of these fields on the command line. */
export const optionOfCertificateField: Readonly<Record<string, string>> = Object.fromEntries(
  [...certificateFieldNames, 'require_certificate', 'tls_client_certificate_bound_access_tokens'].map(
    (name) => [name, `--${optionOf(name)}`],
  ),
)

import { readKeyFile } from '../../administration/key-file.ts'
import type { Mistake } from '../../administration/mistake.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { optionSentence, throwInWords } from '../terminal/mistakes.ts'
import { jsonLine, note, print } from '../terminal/output.ts'
import { adviceOn } from '../terminal/trust-words.ts'
import { readAccess } from './clients-create.ts'

export const trustAdd = defineCommand({
  path: ['trust', 'add'],
  summary: 'add a rule: which assertions of an issuer are accepted, and what they get',
  details:
    'An issuer that is new is trusted by this. Its keys are found by discovery, unless an option says where they are.\n' +
    'A rule is for a client (--client), or gives every workload that fits an identity of its own (--access alone). All\n' +
    'conditions must hold; with --equals again for the same claim, one of its values is enough. Values are text. For a number\n' +
    'or a truth value, or for many rules, write a file with "trust:" and use "seed". Before you deploy a workload, show\n' +
    'the service one of its assertions: "trust test".',
  positionals: [{ name: 'RULE', description: 'a name for the rule, which the ledger will show' }],
  options: {
    issuer: { type: 'string', value: 'ISSUER', description: 'the issuer, as its assertions name it (iss)' },
    equals: {
      type: 'string',
      value: 'CLAIM=VALUE',
      multiple: true,
      description: 'a claim that has this text',
    },
    prefix: {
      type: 'string',
      value: 'CLAIM=TEXT',
      multiple: true,
      description: 'a claim that begins like this; it ends with / or :',
    },
    present: { type: 'string', value: 'CLAIM', multiple: true, description: 'a claim that has any value' },
    client: { type: 'string', value: 'CLIENT', description: 'the client that the assertions stand for' },
    access: {
      type: 'string',
      value: 'AUDIENCE=SCOPE,SCOPE',
      multiple: true,
      description: 'what they may ask for; with --client otherwise all that it may',
    },
    'jwks-uri': { type: 'string', value: 'URL', description: 'where the keys of the issuer are' },
    'spiffe-bundle': { type: 'string', value: 'URL', description: 'where the bundle of a trust domain is' },
    jwks: { type: 'string', value: 'FILE', description: 'the keys of the issuer: JWK, JWKS or PEM' },
    'client-metadata': {
      type: 'string',
      value: 'PREFIX',
      description: 'instead of --issuer: clients that publish a document about themselves under this',
    },
    owner: { type: 'string', value: 'NAME', description: 'who answers for the issuer' },
    'assertion-audience': {
      type: 'string',
      value: 'WHAT',
      description: 'what assertions may name as aud: issuer (default) or token_endpoint',
    },
    'assertion-use': {
      type: 'string',
      value: 'WHAT',
      description: 'once (default), or until_expiry for assertions that are handed out again and again',
    },
    'assertion-max-age': { type: 'string', value: 'SECONDS', description: 'since iat; otherwise 3600' },
    'token-lifetime': {
      type: 'string',
      value: 'SECONDS',
      description: 'at most; otherwise as the resource says',
    },
    'require-certificate': {
      type: 'string',
      value: 'FIELD=VALUE',
      description: 'a certificate beside the assertion, like tls_client_auth_san_uri={sub}',
    },
    'require-dpop': {
      type: 'string',
      value: 'KEY',
      description: 'a DPoP proof: of any_key, or of the confirmed_key that the assertion names',
    },
    'allow-default-service-account': {
      type: 'boolean',
      description: 'let the Kubernetes service account "default" fit, which many pods share',
    },
    'dangerously-any-subject': { type: 'boolean', description: 'let whomever the issuer signs for fit' },
    ...jsonOption,
  },
  examples: [
    [
      'bin/mintmark trust add deploy --issuer https://token.actions.githubusercontent.com \\\n' +
        '    --equals repository_id=74 --equals ref=refs/heads/main --client billing',
      'the main branch of one repository of GitHub stands for the client billing',
    ],
    [
      'bin/mintmark trust add payments --issuer https://kubernetes.default.svc.cluster.local --jwks cluster.json \\\n' +
        '    --prefix sub=system:serviceaccount:payments: --access https://orders.example.com=orders:read \\\n' +
        '    --assertion-use until_expiry',
      'every service account of a namespace has an identity of its own',
    ],
    [
      'bin/mintmark trust add mesh --issuer spiffe://example.org --spiffe-bundle https://spire.example.org/bundle \\\n' +
        '    --prefix sub=spiffe://example.org/ns/payments/ --access https://orders.example.com=orders:read \\\n' +
        '    --require-certificate tls_client_auth_san_uri={sub}',
      'with the certificate of the same SPIFFE ID, so that a stolen assertion is useless',
    ],
    [
      'bin/mintmark trust add partner-agents --client-metadata https://agents.example.com/ \\\n' +
        '    --access https://orders.example.com=orders:read --token-lifetime 300 --owner partners@example.com',
      'agents whose id is the address of a document under this one (Client ID Metadata Documents)',
    ],
  ],
  async run(options, [rule = '']) {
    const { client } = options
    const issuer = options['client-metadata'] ?? options.issuer
    if (issuer === undefined)
      throw usageError(
        '--issuer: name the issuer whose assertions the rule is about, or --client-metadata for clients that publish a document.',
      )
    if (options['client-metadata'] !== undefined && options.issuer !== undefined)
      throw usageError(
        'Name an issuer with --issuer, or documents of clients with --client-metadata; not both.',
      )
    const conditions = [
      ...options.equals.map((text) => readCondition('equals', text)),
      ...options.prefix.map((text) => readCondition('prefix', text)),
      ...options.present.map((claim) => ({ claim, present: true })),
    ]
    const words = {
      rule,
      conditions: together(conditions),
      ...(client === undefined ? {} : { client_id: client }),
      ...(options.access.length === 0 ? {} : { access: options.access.map(readAccess) }),
      ...optional('assertion_audience', options['assertion-audience']),
      ...optional('assertion_use', options['assertion-use']),
      ...seconds('assertion_max_age', options['assertion-max-age']),
      ...seconds('token_lifetime', options['token-lifetime']),
      ...requiredCertificate(options['require-certificate']),
      ...optional('require_dpop', options['require-dpop']),
      ...(options['allow-default-service-account'] ? { allow_default_service_account: true } : {}),
      ...(options['dangerously-any-subject'] ? { dangerously_any_subject: true } : {}),
    }
    const keys = keysIn(options)
    // Loaded here, because a process that serves has no use for it.
    const { addRule } = await import('../../administration/trust-change-store.ts')
    await withDatabase(async (connection) => {
      const step = await addRule(connection, issuer, keys, words, options.owner).catch(
        throwInWords((mistake) => inWordsOf(mistake, options['client-metadata'])),
      )
      if (options.json) print(`${jsonLine({ rule, issuer, status: 'created' })}\n`)
      else {
        const begins = step.status === 'created' ? `${issuer} is trusted now. ` : ''
        print(`${begins}The rule ${rule} is created.\n`)
      }
      // The rules that were there get other keys, or another owner, by this too.
      for (const { field, from, to } of step.status === 'created' ? [] : step.changes)
        note(
          `${field} of ${issuer}: ${brief(to)} now, and ${brief(from)} before. This counts for all its rules.`,
        )
      const added = step.definition.rules.find((each) => each.rule === rule)
      for (const advice of added === undefined ? [] : adviceOn(added)) note(advice)
      if (step.finalStatus === 'disabled')
        note(`${issuer} is disabled. "bin/mintmark trust enable ${issuer}" enables it.`)
    })
  },
})

interface KeyOptions {
  readonly 'jwks-uri': string | undefined
  readonly 'spiffe-bundle': string | undefined
  readonly jwks: string | undefined
  readonly 'client-metadata': string | undefined
}

function keysIn(options: KeyOptions): Readonly<Record<string, unknown>> | undefined {
  const { jwks } = options
  const keys = {
    ...optional('jwks_uri', options['jwks-uri']),
    ...optional('spiffe_bundle', options['spiffe-bundle']),
    ...(jwks === undefined ? {} : { jwks: { keys: readKeyFile(jwks) } }),
    ...(options['client-metadata'] === undefined ? {} : { client_metadata: true }),
  }
  return Object.keys(keys).length === 0 ? undefined : keys
}

/** A name of a claim may contain "=", if it is a URL. A value rarely does, and the first one counts. */
function readCondition(option: 'equals' | 'prefix', text: string) {
  const equals = text.indexOf('=')
  if (equals < 1) throw usageError(`--${option}: write CLAIM=${option === 'equals' ? 'VALUE' : 'TEXT'}.`)
  const [claim, value] = [text.slice(0, equals), text.slice(equals + 1)]
  return { claim, [option]: value }
}

/** The same claim with several values: any of them. */
function together(conditions: readonly Readonly<Record<string, unknown>>[]) {
  const values = Map.groupBy(conditions, ({ claim, equals }) => (equals === undefined ? undefined : claim))
  const others = values.get(undefined) ?? []
  values.delete(undefined)
  return [
    ...[...values].map(([claim, same]) => {
      const [first] = same
      return same.length === 1 ? { ...first } : { claim, one_of: same.map(({ equals }) => equals) }
    }),
    ...others,
  ]
}

const optional = (name: string, value: string | undefined) => (value === undefined ? {} : { [name]: value })

function requiredCertificate(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {}
  const equals = text.indexOf('=')
  if (equals < 1)
    throw usageError('--require-certificate: write FIELD=VALUE, like tls_client_auth_san_uri={sub}.')
  return { require_certificate: { [text.slice(0, equals)]: text.slice(equals + 1) } }
}

function seconds(name: string, value: string | undefined): Readonly<Record<string, unknown>> {
  if (value === undefined) return {}
  if (!/^\d+$/.test(value))
    throw usageError(`--${name.replaceAll('_', '-')}: must be a whole number of seconds, for example 600.`)
  return { [name]: Number(value) }
}

/** Uploaded keys are long, and their beginning says which they are. */
function brief(value: unknown): string {
  const text = value === null ? 'none' : String(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

/** What says each field on the command line. */
const optionOfField: Readonly<Record<string, string>> = {
  issuer: '--issuer',
  rule: 'RULE',
  conditions: 'the conditions',
  client_id: '--client',
  access: '--access',
  jwks_uri: '--jwks-uri',
  spiffe_bundle: '--spiffe-bundle',
  jwks: '--jwks',
  client_metadata: '--client-metadata',
  owner: '--owner',
  assertion_audience: '--assertion-audience',
  assertion_use: '--assertion-use',
  assertion_max_age: '--assertion-max-age',
  token_lifetime: '--token-lifetime',
  require_certificate: '--require-certificate',
  require_dpop: '--require-dpop',
}

/** A mistake of a file, in the words of the command line. Its path may lead to a rule of the issuer. */
function inWordsOf(mistake: Mistake, prefix: string | undefined): string {
  const path = mistake.path[0] === 'trust' ? mistake.path.slice(2) : mistake.path
  const field = path[0] === 'rules' && path.length > 2 ? path[2] : path[0]
  if (prefix === undefined || field !== 'issuer')
    return `${optionOfField[String(field)] ?? 'RULE'}: ${optionSentence(mistake)}`
  // The prefix stands where an issuer does, and what is wrong with it is said as of a prefix.
  const said: Mistake =
    mistake.code === 'issuer_malformed'
      ? { ...mistake, code: 'client_metadata_prefix_malformed', value: prefix }
      : mistake
  return `--client-metadata: ${optionSentence(said)}`
}

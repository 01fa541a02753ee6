import { createClient } from '../../administration/create-client.ts'
import {
  assertionAudiences,
  type ClientDefinition,
  certificateAuthMethod,
  federatedAuthMethod,
  hasSecretByMethod,
  tokenEndpointAuthMethods,
} from '../../administration/definition.ts'
import { readKeyFile } from '../../administration/key-file.ts'
import type { Mistake } from '../../administration/mistake.ts'
import { systemClock } from '../../lib/clock.ts'
import { futureMoment, requireFuture, yesOrNo } from '../terminal/arguments.ts'
import {
  type CertificateOptions,
  certificateOptions,
  certificateWords,
  optionOfCertificateField,
} from '../terminal/certificate-options.ts'
import { claimOptions, claimWords } from '../terminal/claim-options.ts'
import { colonNote } from '../terminal/colon-note.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { secretContext } from '../terminal/key-context.ts'
import { fieldOf, optionSentence, throwInWords } from '../terminal/mistakes.ts'
import { json, note, print } from '../terminal/output.ts'
import { type OwnerOptions, optionOfOwnerField, ownerOptions, ownerWords } from '../terminal/owner-options.ts'
import { SecretOutput } from '../terminal/secret-output.ts'

/** The ways to authenticate, for the help. */
export const authMethodsLine = `Methods: ${tokenEndpointAuthMethods.slice(0, 3).join(', ')},\n${tokenEndpointAuthMethods.slice(3).join(', ')}.`
export const clientsCreate = defineCommand({
  path: ['clients', 'create'],
  summary: 'create a client and print its secret, once',
  details:
    'A client can only be given scopes that the resource has ("resources list" shows them). A client with access to\n' +
    'one resource need not name it when it asks for a token. To create many clients, write a file and use "seed".\n' +
    'With --auth-method private_key_jwt the client has public keys (--key) and gets no secret. The same is true\n' +
    'for self_signed_tls_client_auth, and for tls_client_auth, where one field of its certificate names it.\n' +
    'With federated_jwt, rules say whose assertions it can use ("trust add").\n' +
    authMethodsLine,
  positionals: [{ name: 'CLIENT', description: 'the client id: letters, digits and . _ : / @ ~ -' }],
  options: {
    name: { type: 'string', value: 'NAME', description: 'a name for people; otherwise the id' },
    'auth-method': {
      type: 'string',
      value: 'METHOD',
      description: 'the only way in which it authenticates; otherwise any',
    },
    key: {
      type: 'string',
      value: 'FILE',
      multiple: true,
      description: 'its public keys: JWK, JWKS or PEM',
    },
    'jwks-uri': { type: 'string', value: 'URL', description: 'where it publishes its public keys' },
    'assertion-audience': {
      type: 'string',
      value: 'WHAT',
      description: `the aud of its assertions: ${assertionAudiences.join(' (default) or ')}`,
    },
    ...certificateOptions,
    'dpop-bound-access-tokens': {
      type: 'string',
      value: 'YES',
      description: 'only tokens that are bound to its key (DPoP): yes or no',
    },
    fapi: {
      type: 'string',
      value: 'YES',
      description: 'hold it to the FAPI 2.0 Security Profile: yes or no',
    },
    access: {
      type: 'string',
      value: 'AUDIENCE=SCOPE,SCOPE',
      multiple: true,
      description: 'a resource it may call, and with which scopes',
    },
    'allow-network': {
      type: 'string',
      value: 'CIDR',
      multiple: true,
      description: 'where it may call from; otherwise from anywhere',
    },
    'expires-at': {
      type: 'string',
      value: 'MOMENT',
      description: 'when it expires and gets no more tokens, like 2027-01-31T23:59:59Z',
    },
    ...claimOptions,
    ...ownerOptions,
    'secret-expires-in': { type: 'string', value: 'TIME', description: 'when its secret expires, like 90d' },
    'secret-out': {
      type: 'string',
      value: 'FILE',
      description: 'write the secret to a new file (mode 0600) instead; "-" is stdout',
    },
    ...jsonOption,
  },
  examples: [
    [
      'bin/mintmark clients create shipping --access https://orders.example.com=orders:read,orders:write',
      'may read and write orders',
    ],
    [
      'bin/mintmark clients create audit --access https://orders.example.com=orders:read \\\n' +
        '    --allow-network 10.0.0.0/8 --secret-expires-in 90d --secret-out audit.secret',
      'from one network only, with a secret that expires and is written to a file',
    ],
    [
      'bin/mintmark clients create nightly --owner team-reports --kind job --purpose exports',
      'with an owner and a purpose',
    ],
    [
      'bin/mintmark clients create payroll --access https://orders.example.com=orders:read \\\n' +
        '    --auth-method private_key_jwt --key payroll.public.pem',
      'without a secret: it signs an assertion for each token',
    ],
    [
      'bin/mintmark clients create ledger --access https://orders.example.com=orders:read \\\n' +
        '    --auth-method tls_client_auth --tls-client-auth-san-uri spiffe://example.org/ledger',
      'without a secret: its certificate names it',
    ],
    [
      'bin/mintmark clients create bank --access https://orders.example.com=orders:read --fapi yes \\\n' +
        '    --auth-method private_key_jwt --key bank.public.pem --dpop-bound-access-tokens yes',
      'held to the FAPI 2.0 Security Profile',
    ],
  ],
  async run(options, [clientId = '']) {
    const client = await readClient(clientId, options)
    requireFuture('expires-at', options['expires-at'], systemClock.nowSeconds())
    const ends = options['secret-expires-in']
    const output = new SecretOutput('secret-out', options['secret-out'])
    const byCertificate = client.tokenEndpointAuthMethod === certificateAuthMethod
    const { tokenEndpointAuthMethod: method } = client
    if (hasSecretByMethod(method)) output.reserve()
    else if (ends !== undefined || options['secret-out'] !== undefined) {
      throw usageError(
        `--auth-method ${method}: such a client gets no secret. Leave out the options about a secret.`,
      )
    }
    await output.around(() =>
      withDatabase(async (connection) => {
        const now = await connection.databaseSeconds()
        const secretExpiresAt = ends === undefined ? undefined : futureMoment('secret-expires-in', ends, now)
        const secret = await createClient(await secretContext(connection), client, {
          secretExpiresAt,
          deliver: (made) => output.deliverOne(made),
        }).catch(throwInWords(inWordsOf))
        if (secret === undefined) {
          if (options.json) print(`${json({ client_id: clientId, status: 'created' })}\n`)
          else if (method === federatedAuthMethod)
            print(`${clientId} is created. It has no secret and no key.\n`)
          else
            print(
              `${clientId} is created. It authenticates with its ${byCertificate ? 'certificate' : 'keys'}.\n`,
            )
          if (method === federatedAuthMethod)
            note(`Add a rule that says whose assertions it can use: bin/mintmark trust add --help`)
          else if (client.keys === undefined && client.jwksUri === undefined && !byCertificate)
            note(`${clientId} has no key yet: bin/mintmark clients keys add ${clientId} FILE`)
        } else if (options.json) {
          const shown = output.path === undefined ? { client_secret: secret.secret } : {}
          print(`${json({ client_id: clientId, ...shown, secret_id: secret.secretId, status: 'created' })}\n`)
        } else {
          print(`${clientId} is created. Its secret ${secret.secretId}:\n`)
          output.printOne(secret)
        }
        const word = colonNote(client)
        if (word !== undefined) note(word)
        if (client.access.length === 0)
          note(`${clientId} has no access to any resource yet, so it gets no tokens.`)
      }),
    )
  },
})

interface CreateOptions extends CertificateOptions, OwnerOptions {
  readonly name: string | undefined
  readonly 'auth-method': string | undefined
  readonly key: readonly string[]
  readonly 'assertion-audience': string | undefined
  readonly 'dpop-bound-access-tokens': string | undefined
  readonly fapi: string | undefined
  readonly access: readonly string[]
  readonly 'allow-network': readonly string[]
  readonly 'expires-at': string | undefined
  readonly 'jwks-uri': string | undefined
  readonly claim: readonly string[]
}

/** The options as a file would say them, so that one schema judges both. */
async function readClient(clientId: string, options: CreateOptions): Promise<ClientDefinition> {
  const { name, 'auth-method': method, 'allow-network': networks, 'expires-at': expiresAt } = options
  const { 'assertion-audience': assertionAudience } = options
  const dpopBound = yesOrNo('dpop-bound-access-tokens', options['dpop-bound-access-tokens'])
  const fapi = yesOrNo('fapi', options.fapi)
  const access = options.access.map(readAccess)
  const audiences = access.map(({ audience }) => audience)
  const repeated = audiences.find((audience, index) => audiences.indexOf(audience) !== index)
  if (repeated !== undefined) {
    throw usageError(`--access: ${repeated} is named twice; list all its scopes at once.`)
  }
  // Loaded here, because a process that serves has no use for it.
  const { parseClient } = await import('../../administration/parse.ts')
  const { value, mistakes } = parseClient({
    client_id: clientId,
    ...(name === undefined ? {} : { name }),
    ...(method === undefined ? {} : { token_endpoint_auth_method: method }),
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    ...(options.key.length === 0 ? {} : { jwks: { keys: options.key.flatMap(readKeyFile) } }),
    ...(options['jwks-uri'] === undefined ? {} : { jwks_uri: options['jwks-uri'] }),
    ...(assertionAudience === undefined ? {} : { assertion_audience: assertionAudience }),
    ...certificateWords(options),
    ...(dpopBound === undefined ? {} : { dpop_bound_access_tokens: dpopBound }),
    ...(fapi === undefined ? {} : { fapi }),
    allowed_networks: [...new Set(networks)],
    access,
    ...(options.claim.length === 0 ? {} : { claims: claimWords(options.claim) }),
    ...ownerWords(options),
  })
  const [first] = mistakes
  if (first !== undefined) throw usageError(inWordsOf(first))
  if (value === undefined) throw new Error('a client was refused without a mistake')
  return value
}

/** An audience may contain "=", so the last one counts. */
export function readAccess(text: string) {
  const equals = text.lastIndexOf('=')
  if (equals === -1) {
    throw usageError(`--access: write AUDIENCE=SCOPE,SCOPE, or "${text}=" for a token without scopes.`)
  }
  const list = text.slice(equals + 1)
  const scopes = list === '' ? [] : [...new Set(list.split(','))]
  return { audience: text.slice(0, equals), scopes }
}

/** What says each field of a client on the command line. */
const optionOfField: Readonly<Record<string, string>> = {
  client_id: 'CLIENT',
  name: '--name',
  token_endpoint_auth_method: '--auth-method',
  allowed_networks: '--allow-network',
  expires_at: '--expires-at',
  jwks: 'the key',
  jwks_uri: '--jwks-uri',
  assertion_audience: '--assertion-audience',
  dpop_bound_access_tokens: '--dpop-bound-access-tokens',
  fapi: '--fapi',
  access: '--access',
  claims: '--claim',
  ...optionOfCertificateField,
  ...optionOfOwnerField,
}

/** A mistake of a file, in the words of the command line: `--access: …`. */
export function inWordsOf(mistake: Mistake): string {
  return `${optionOfField[fieldOf(mistake, 'clients')] ?? 'CLIENT'}: ${optionSentence(mistake)}`
}

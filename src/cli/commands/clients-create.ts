import { createClient } from '../../administration/create-client.ts'
import { type AccessDefinition, defaults, tokenEndpointAuthMethods } from '../../administration/definition.ts'
import {
  problemWithAudience,
  problemWithAuthMethod,
  problemWithClientId,
  problemWithCount,
  problemWithMoment,
  problemWithName,
  problemWithNetwork,
  problemWithScope,
} from '../../administration/validate.ts'
import { readMoment } from '../../lib/moment.ts'
import { limits } from '../../limits.ts'
import { futureMoment } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, requireGood, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { json, note, print } from '../terminal/output.ts'
import { SecretOutput } from '../terminal/secret-output.ts'

export const clientsCreate = defineCommand({
  path: ['clients', 'create'],
  summary: 'create a client and print its secret, once',
  details:
    'Scopes must be among those of the resource ("resources list" shows them). A client with access to one\n' +
    'resource need not name it when it asks for a token. For many clients, write a file and use "seed".',
  positionals: [{ name: 'CLIENT', description: 'the client id: letters, digits and . _ : / @ ~ -' }],
  options: {
    name: { type: 'string', value: 'NAME', description: 'a name for people; otherwise the id' },
    'auth-method': {
      type: 'string',
      value: 'METHOD',
      description: `how it authenticates: ${tokenEndpointAuthMethods.join(' (default), ')}`,
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
      description: 'when it stops getting tokens, like 2027-01-31T23:59:59Z',
    },
    'secret-expires-in': { type: 'string', value: 'TIME', description: 'when its secret ends, like 90d' },
    'secret-out': {
      type: 'string',
      value: 'FILE',
      description: 'write the secret to a new file (mode 0600) instead',
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
      'from one network only, with a secret that ends, kept off the screen',
    ],
  ],
  async run(options, [clientId = '']) {
    const client = readClient(clientId, options)
    const ends = options['secret-expires-in']
    const output = new SecretOutput('secret-out', options['secret-out'])
    output.reserve()
    await output.around(() =>
      withDatabase(async (connection) => {
        const now = connection.clock.nowSeconds()
        const secretExpiresAt = ends === undefined ? undefined : futureMoment('secret-expires-in', ends, now)
        const secret = await createClient(connection, client, {
          secretExpiresAt,
          deliver: (made) => output.deliverOne(made),
        })
        if (options.json) {
          const shown = output.path === undefined ? { client_secret: secret.secret } : {}
          print(`${json({ client_id: clientId, ...shown, secret_id: secret.secretId, status: 'created' })}\n`)
        } else {
          print(`${clientId} is created. Its secret ${secret.secretId}:\n`)
          output.printOne(secret)
        }
        if (client.access.length === 0)
          note(`${clientId} has no access to any resource yet, so it gets no tokens.`)
      }),
    )
  },
})

interface CreateOptions {
  readonly name: string | undefined
  readonly 'auth-method': string | undefined
  readonly access: readonly string[]
  readonly 'allow-network': readonly string[]
  readonly 'expires-at': string | undefined
}

function readClient(clientId: string, options: CreateOptions) {
  const { access, name, 'auth-method': method, 'allow-network': networks, 'expires-at': expiresAt } = options
  requireGood('CLIENT', problemWithClientId(clientId))
  if (name !== undefined) requireGood('--name', problemWithName(name))
  if (method !== undefined) requireGood('--auth-method', problemWithAuthMethod(method))
  if (expiresAt !== undefined) requireGood('--expires-at', problemWithMoment(expiresAt))
  for (const network of networks) requireGood('--allow-network', problemWithNetwork(network))
  requireGood('--allow-network', problemWithCount(networks.length, limits.networksPerClientMax, 'networks'))
  requireGood('--access', problemWithCount(access.length, limits.accessPerClientMax, 'resources'))
  const entries = access.map(readAccess)
  const audiences = entries.map(({ audience }) => audience)
  const repeated = audiences.find((audience, index) => audiences.indexOf(audience) !== index)
  if (repeated !== undefined)
    throw usageError(`--access: ${repeated} is named twice; list all scopes at once.`)
  return {
    clientId,
    name: name ?? clientId,
    tokenEndpointAuthMethod: method ?? defaults.tokenEndpointAuthMethod,
    allowedNetworks: [...new Set(networks)],
    expiresAt: expiresAt === undefined ? undefined : readMoment(expiresAt),
    status: undefined,
    access: entries,
  }
}

/** An audience may contain "=", so the last one counts. */
function readAccess(text: string): AccessDefinition {
  const equals = text.lastIndexOf('=')
  if (equals === -1) {
    throw usageError(`--access: write AUDIENCE=SCOPE,SCOPE, or "${text}=" for a token without scopes.`)
  }
  const audience = text.slice(0, equals)
  const list = text.slice(equals + 1)
  const scopes = list === '' ? [] : [...new Set(list.split(','))]
  requireGood('--access', problemWithAudience(audience))
  for (const scope of scopes) requireGood('--access', problemWithScope(scope))
  requireGood('--access', problemWithCount(scopes.length, limits.scopesPerResourceMax, 'scopes'))
  return { audience, scopes }
}

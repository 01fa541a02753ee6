import { assertionAudiences, tokenEndpointAuthMethods } from '../../administration/definition.ts'
import { systemClock } from '../../lib/clock.ts'
import { requireFuture } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { throwInWords } from '../terminal/mistakes.ts'
import { json, print } from '../terminal/output.ts'
import { inWordsOf, ownerFields, ownerOptions } from './clients-create.ts'
import { describeChanges } from './seed.ts'

export const clientsUpdate = defineCommand({
  path: ['clients', 'update'],
  summary: 'change the name, the owner, the method, the networks or the end of a client',
  details:
    'What you do not name stays as it is. In force on every replica when the command returns. "clients access" changes\n' +
    'what the client may call, and "clients disable" stops it. The id of a client never changes.',
  positionals: [{ name: 'CLIENT', description: 'the client id' }],
  options: {
    name: { type: 'string', value: 'NAME', description: 'a name for people' },
    'auth-method': {
      type: 'string',
      value: 'METHOD',
      description: `only ${tokenEndpointAuthMethods.join(', ')}; or any`,
    },
    'assertion-audience': {
      type: 'string',
      value: 'WHAT',
      description: `what its assertions may name as aud: ${assertionAudiences.join(' or ')}`,
    },
    'allow-network': {
      type: 'string',
      value: 'CIDR',
      multiple: true,
      description: 'where it may call from, instead of what was allowed',
    },
    'any-network': { type: 'boolean', description: 'it may call from anywhere' },
    'expires-at': {
      type: 'string',
      value: 'MOMENT',
      description: 'when it expires, like 2027-01-31T23:59:59Z',
    },
    'never-expires': { type: 'boolean', description: 'it does not expire' },
    ...ownerOptions,
    'no-owner': { type: 'boolean', description: 'nobody answers for it' },
    'no-purpose': { type: 'boolean', description: 'nothing is said of what it is for' },
    'no-kind': { type: 'boolean', description: 'nothing is said of what runs' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark clients update billing --name Billing', 'another name'],
    [
      'bin/mintmark clients update billing --allow-network 10.0.0.0/8 --allow-network 192.0.2.7',
      'from there only',
    ],
    ['bin/mintmark clients update billing --owner team-payments --kind service', 'whom it belongs to'],
    ['bin/mintmark clients update billing --auth-method any', 'the secret in the header or in the body'],
    ['bin/mintmark clients update billing --any-network --never-expires', 'from anywhere and for good'],
  ],
  async run(options, [clientId = '']) {
    const { name, 'auth-method': method, 'allow-network': networks, 'expires-at': expiresAt } = options
    const { 'assertion-audience': assertionAudience } = options
    if (options['any-network'] && networks.length > 0)
      throw usageError('--any-network: not with --allow-network.')
    if (options['never-expires'] && expiresAt !== undefined)
      throw usageError('--never-expires: not with --expires-at.')
    const removed = (['owner', 'purpose', 'kind'] as const).filter((field) => options[`no-${field}`])
    for (const field of removed) {
      if (options[field] !== undefined) throw usageError(`--no-${field}: not with --${field}.`)
    }
    const fields = {
      ...(name === undefined ? {} : { name }),
      ...(method === undefined ? {} : { token_endpoint_auth_method: method }),
      ...(assertionAudience === undefined ? {} : { assertion_audience: assertionAudience }),
      ...(networks.length > 0 ? { allowed_networks: [...new Set(networks)] } : {}),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
      ...ownerFields(options),
    }
    const isSaid = Object.keys(fields).length + removed.length > 0
    if (!isSaid && !options['any-network'] && !options['never-expires'])
      throw usageError('say what to change, for example --name NAME. "--help" lists what there is.')
    // Loaded here, because a process that serves has no use for it.
    const { parseClient } = await import('../../administration/parse.ts')
    const [mistake] = parseClient({ client_id: 'any', ...fields }).mistakes
    if (mistake !== undefined) throw usageError(inWordsOf(mistake))
    requireFuture('expires-at', expiresAt, systemClock.nowSeconds())
    const { updateClient } = await import('../../administration/update.ts')
    await withDatabase(async (connection) => {
      const step = await updateClient(connection, clientId, (words) => {
        const { expires_at: before, ...others } = words
        const end = options['never-expires'] || before === undefined ? {} : { expires_at: before }
        const kept = { ...others }
        for (const field of removed) delete kept[field]
        return {
          ...kept,
          ...end,
          ...(options['any-network'] ? { allowed_networks: [] } : {}),
          ...fields,
        }
      }).catch(throwInWords(inWordsOf))
      const { status, changes } = step
      if (options.json) {
        const described = Object.fromEntries(changes.map(({ field, from, to }) => [field, { from, to }]))
        print(`${json({ client_id: clientId, status, changes: described })}\n`)
      } else if (status === 'unchanged') print(`${clientId} was so already. Nothing was changed.\n`)
      else print(`${clientId} is changed: ${describeChanges(changes)}.\n`)
    })
  },
})

import { assertionAudiences } from '../../administration/definition.ts'
import { systemClock } from '../../lib/clock.ts'
import { certificateFieldNames } from '../../registry/client.ts'
import { requireFuture, yesOrNo } from '../terminal/arguments.ts'
import { certificateOptions, certificateWords } from '../terminal/certificate-options.ts'
import { changedClaims, claimOptions, claimWords, noClaimOptions } from '../terminal/claim-options.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { throwInWords } from '../terminal/mistakes.ts'
import { json, print } from '../terminal/output.ts'
import { noOwnerOptions, ownerOptions, ownerWords, removedOwnerWords } from '../terminal/owner-options.ts'
import { authMethodsLine, inWordsOf } from './clients-create.ts'
import { describeChanges } from './seed.ts'

export const clientsUpdate = defineCommand({
  path: ['clients', 'update'],
  summary: 'change the name, the owner, the method, the certificate, the networks or the end of a client',
  details:
    'What you do not name stays as it is. In force on every replica when the command returns. "clients access" changes\n' +
    'what the client may call, and "clients disable" stops it. The id of a client never changes.\n' +
    authMethodsLine,
  positionals: [{ name: 'CLIENT', description: 'the client id' }],
  options: {
    name: { type: 'string', value: 'NAME', description: 'a name for people' },
    'auth-method': {
      type: 'string',
      value: 'METHOD',
      description: 'the only way in which it authenticates; or any',
    },
    'jwks-uri': { type: 'string', value: 'URL', description: 'where it publishes its public keys' },
    'no-jwks-uri': { type: 'boolean', description: 'it publishes no keys' },
    'assertion-audience': {
      type: 'string',
      value: 'WHAT',
      description: `the aud of its assertions: ${assertionAudiences.join(' or ')}`,
    },
    ...certificateOptions,
    'no-certificate': { type: 'boolean', description: 'no certificate names it' },
    'no-required-certificate': {
      type: 'boolean',
      description: 'it does not have to bring a certificate in addition',
    },
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
    'allow-network': {
      type: 'string',
      value: 'CIDR',
      multiple: true,
      description: 'where it may call from, instead of before',
    },
    'any-network': { type: 'boolean', description: 'it may call from anywhere' },
    'expires-at': {
      type: 'string',
      value: 'MOMENT',
      description: 'when it expires, like 2027-01-31T23:59:59Z',
    },
    'never-expires': { type: 'boolean', description: 'it does not expire' },
    ...claimOptions,
    ...noClaimOptions,
    ...ownerOptions,
    ...noOwnerOptions,
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark clients update billing --name Billing', 'another name'],
    [
      'bin/mintmark clients update billing --allow-network 10.0.0.0/8 --allow-network 192.0.2.7',
      'from there only',
    ],
    [
      'bin/mintmark clients update billing --dpop-bound-access-tokens yes',
      'only tokens that are useless without its key',
    ],
    ['bin/mintmark clients update billing --owner team-payments --kind service', 'whom it belongs to'],
    ['bin/mintmark clients update billing --claim tenant=acme', 'a claim that all its tokens have'],
    ['bin/mintmark clients update billing --auth-method any', 'the secret in the header or in the body'],
    [
      'bin/mintmark clients update billing --require-certificate tls_client_auth_san_dns=billing.example.com',
      'only together with that certificate',
    ],
    ['bin/mintmark clients update billing --any-network --never-expires', 'from anywhere and for good'],
  ],
  async run(options, [clientId = '']) {
    const { name, 'auth-method': method, 'allow-network': networks, 'expires-at': expiresAt } = options
    const { 'assertion-audience': assertionAudience } = options
    const dpopBound = yesOrNo('dpop-bound-access-tokens', options['dpop-bound-access-tokens'])
    const fapi = yesOrNo('fapi', options.fapi)
    if (options['any-network'] && networks.length > 0)
      throw usageError('--any-network: not with --allow-network.')
    if (options['never-expires'] && expiresAt !== undefined)
      throw usageError('--never-expires: not with --expires-at.')
    const certificate = certificateWords(options)
    const fields: Record<string, unknown> = {
      ...(name === undefined ? {} : { name }),
      ...(method === undefined ? {} : { token_endpoint_auth_method: method }),
      ...(options['jwks-uri'] === undefined ? {} : { jwks_uri: options['jwks-uri'] }),
      ...(assertionAudience === undefined ? {} : { assertion_audience: assertionAudience }),
      ...(dpopBound === undefined ? {} : { dpop_bound_access_tokens: dpopBound }),
      ...(fapi === undefined ? {} : { fapi }),
      ...(networks.length > 0 ? { allowed_networks: [...new Set(networks)] } : {}),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
      ...certificate,
      ...(options.claim.length === 0 ? {} : { claims: claimWords(options.claim) }),
      ...ownerWords(options),
    }
    const lost = options['no-claim']
    if (options['no-jwks-uri'] && options['jwks-uri'] !== undefined)
      throw usageError('--no-jwks-uri: not with --jwks-uri.')
    const unpublished = options['no-jwks-uri'] ? ['jwks_uri'] : []
    const removed = [...removedWords(options, certificate), ...removedOwnerWords(options), ...unpublished]
    const isSaid = Object.keys(fields).length + removed.length + lost.length > 0
    if (!isSaid && !options['any-network'] && !options['never-expires'])
      throw usageError('say what to change, for example --name NAME. "--help" lists what there is.')
    // Loaded here, because a process that serves has no use for it.
    const { parseClient } = await import('../../administration/parse.ts')
    // What depends on the rest of the client is judged with it.
    const [mistake] = parseClient({ client_id: 'any', ...fields }).mistakes.filter(
      ({ code, path }) =>
        code !== 'certificate_field_unused' &&
        !code.startsWith('fapi_') &&
        (code !== 'certificate_field_missing' || path[0] === 'require_certificate'),
    )
    if (mistake !== undefined) throw usageError(inWordsOf(mistake))
    requireFuture('expires-at', expiresAt, systemClock.nowSeconds())
    const { updateClient } = await import('../../administration/update.ts')
    await withDatabase(async (connection) => {
      const step = await updateClient(connection, clientId, (words) => {
        const { expires_at: before, ...rest } = words
        const others = Object.fromEntries(
          Object.entries(rest).filter(([word]) => !removed.includes(word)),
        ) as typeof rest
        const end = options['never-expires'] || before === undefined ? {} : { expires_at: before }
        return {
          ...others,
          ...end,
          ...(options['any-network'] ? { allowed_networks: [] } : {}),
          ...fields,
          claims: changedClaims(words.claims, claimWords(options.claim), lost),
        }
      }).catch(throwInWords(inWordsOf))
      const { status, changes } = step
      if (options.json) {
        const described = Object.fromEntries(changes.map(({ field, from, to }) => [field, { from, to }]))
        print(`${json({ client_id: clientId, status, changes: described })}\n`)
      } else if (status === 'unchanged') print(`${clientId} is like this already. Nothing was changed.\n`)
      else print(`${clientId} is changed: ${describeChanges(changes)}.\n`)
    })
  },
})

/** The fields that are removed from the client. A field of a certificate takes the place of another one. */
function removedWords(
  options: { readonly 'no-certificate': boolean; readonly 'no-required-certificate': boolean },
  certificate: Readonly<Record<string, unknown>>,
): readonly string[] {
  const given = certificateFieldNames.filter((name) => Object.hasOwn(certificate, name))
  if (options['no-certificate'] && given.length > 0)
    throw usageError('--no-certificate: not with a field of a certificate.')
  if (options['no-required-certificate'] && Object.hasOwn(certificate, 'require_certificate'))
    throw usageError('--no-required-certificate: not with --require-certificate.')
  return [
    ...(options['no-certificate'] || given.length > 0 ? certificateFieldNames : []),
    ...(options['no-required-certificate'] ? ['require_certificate'] : []),
  ]
}

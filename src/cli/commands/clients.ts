import { deleteClient, findClient, setClientStatus } from '../../administration/client-store.ts'
import type { StoredClient, StoredClientWithSecrets } from '../../administration/definition.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { confirm } from '../terminal/confirm.ts'
import { withDatabase } from '../terminal/connect.ts'
import { counted, json, jsonLine, print, shownMoment } from '../terminal/output.ts'
import { SealNotes } from '../terminal/seal-notes.ts'
import { renderFields, Table } from '../terminal/table.ts'
import { keyFields, keyTable } from './clients-keys.ts'
import { certificateFields, ownershipFields } from './clients-list.ts'
import { secretFields, secretTable } from './secrets.ts'

const clientArgument = { name: 'CLIENT', description: 'the client id' } as const

export const clientsShow = defineCommand({
  path: ['clients', 'show'],
  summary: 'show one client with its access, networks, secrets and keys',
  positionals: [clientArgument],
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark clients show billing', 'what billing may do, and when its secrets were last used'],
  ],
  async run(options, [clientId = '']) {
    await withDatabase(async (connection) => {
      const { database, clock } = connection
      const client = await findClient(database.prisma, clientId, clock.nowMilliseconds())
      const notes = await SealNotes.open(connection)
      const unsealed = await notes.differencesOf(clientId)
      const fields = { ...clientFields(client), ...(unsealed === undefined ? {} : { unsealed }) }
      print(options.json ? `${json(fields)}\n` : shownClient(client, clock.nowSeconds()))
      notes.print()
    })
  },
})

function clientFields(client: StoredClientWithSecrets): Record<string, unknown> {
  return {
    client_id: client.clientId,
    name: client.name,
    status: client.status,
    token_endpoint_auth_method: client.tokenEndpointAuthMethod ?? null,
    allowed_networks: client.allowedNetworks,
    expires_at: optionalMoment(client.expiresAt),
    created_at: optionalMoment(client.createdAt),
    updated_at: optionalMoment(client.updatedAt),
    access: client.access,
    secrets: client.secrets.map(secretFields),
    assertion_audience: client.assertionAudience,
    ...certificateFields(client),
    dpop_bound_access_tokens: client.dpopBoundTokens,
    fapi: client.fapi === true,
    jwks_uri: client.jwksUri ?? null,
    claims: client.claims ?? {},
    keys: client.keys.map(keyFields),
    ...ownershipFields(client),
  }
}

function shownCertificate(client: StoredClient): (readonly [string, string])[] {
  const { certificateField: own, requiredCertificate: asked } = client
  return [
    ...(own === undefined ? [] : [[own.name, own.value] as const]),
    ...(asked === undefined ? [] : [['require_certificate', `${asked.name}=${asked.value}`] as const]),
    ...(client.certificateBoundTokens === true
      ? [['tls_client_certificate_bound_access_tokens', 'yes'] as const]
      : []),
  ]
}

function shownClient(client: StoredClientWithSecrets, now: number): string {
  const isExpired = client.expiresAt !== undefined && client.expiresAt <= now
  const fields = renderFields([
    ['client_id', client.clientId],
    ['name', client.name],
    ['status', isExpired ? `${client.status}, but expired` : client.status],
    ['token_endpoint_auth_method', client.tokenEndpointAuthMethod ?? 'any'],
    ...shownCertificate(client),
    ['allowed_networks', client.allowedNetworks.join(', ') || 'from anywhere'],
    ['expires_at', shownMoment(client.expiresAt, 'never')],
    ...(client.keys.length === 0 ? [] : [['assertion_audience', client.assertionAudience] as const]),
    ...(client.dpopBoundTokens ? [['dpop_bound_access_tokens', 'yes'] as const] : []),
    ...(client.fapi === true ? [['fapi', 'yes'] as const] : []),
    ...(client.jwksUri === undefined ? [] : [['jwks_uri', client.jwksUri] as const]),
    ...Object.entries(client.claims ?? {}).map(
      ([name, value]) => [`claim ${name}`, JSON.stringify(value)] as const,
    ),
    ['created_at', shownMoment(client.createdAt)],
    ['updated_at', shownMoment(client.updatedAt)],
    ['owner', client.owner ?? '-'],
    ['purpose', client.purpose ?? '-'],
    ['kind', client.kind ?? '-'],
    ['created_by', client.createdBy ?? '-'],
    ['last_used_at', shownMoment(client.lastUsedAt, 'never')],
  ])
  const access = new Table([{ title: 'ACCESS TO' }, { title: 'SCOPES' }]).render(
    client.access.map(({ audience, scopes }) => [audience, scopes.join(' ') || '(none)']),
  )
  const accessPart = client.access.length === 0 ? 'No access to any resource: it gets no tokens.\n' : access
  const keys = client.keys.length === 0 ? '' : `\n${keyTable(client.keys)}`
  return `${fields}\n${accessPart}\n${secretTable(client.secrets)}${keys}`
}

const statusJson = (clientId: string, status: string, changed: boolean): string =>
  `${jsonLine({ client_id: clientId, status, changed })}\n`

export const clientsDisable = defineCommand({
  path: ['clients', 'disable'],
  summary: 'disable a client: it gets no tokens from the moment this returns',
  details:
    'In force on every replica when the command returns. Tokens that were issued before live until they expire. "clients\n' +
    'enable" undoes it. A seed file undoes it only if it says "status: active".',
  positionals: [clientArgument],
  options: { ...jsonOption },
  examples: [['bin/mintmark clients disable billing', 'on every replica at once']],
  run: (options, [clientId = '']) => changeStatus(clientId, 'disabled', options.json),
})

export const clientsEnable = defineCommand({
  path: ['clients', 'enable'],
  summary: 'enable a client that was disabled',
  positionals: [clientArgument],
  options: { ...jsonOption },
  examples: [['bin/mintmark clients enable billing', 'it has the same secrets and access as before']],
  run: (options, [clientId = '']) => changeStatus(clientId, 'active', options.json),
})

async function changeStatus(clientId: string, status: 'active' | 'disabled', asJson: boolean): Promise<void> {
  await withDatabase(async (connection) => {
    const changed = await setClientStatus(connection, clientId, status)
    const word = status === 'active' ? 'enabled' : 'disabled'
    if (asJson) print(statusJson(clientId, status, changed))
    else print(`${clientId} ${changed ? 'is' : 'was already'} ${word}.\n`)
  })
}

export const clientsDelete = defineCommand({
  path: ['clients', 'delete'],
  summary: 'delete a client for good; its id is never used again',
  details:
    'Its secrets and keys are revoked and its access is removed. This cannot be undone; "clients disable" can. The ledger\n' +
    'keeps its records about the client, so the id can never be used again.',
  positionals: [clientArgument],
  options: { yes: { type: 'boolean', description: 'do not ask' }, ...jsonOption },
  examples: [
    ['bin/mintmark clients delete billing', 'asks first; refuses if there is no terminal'],
    ['bin/mintmark clients delete billing --yes', 'does not'],
  ],
  async run(options, [clientId = '']) {
    await withDatabase(async (connection) => {
      const { status } = await findClient(
        connection.database.prisma,
        clientId,
        connection.clock.nowMilliseconds(),
      )
      const asks = !options.yes && status !== 'deleted'
      const question = `Delete ${clientId} for good? Type its id to go on: `
      if (asks) await confirm(question, clientId, connection.signal)
      const { deleted, secretsRevoked, keysRevoked, accessRemoved } = await deleteClient(connection, clientId)
      if (options.json) print(statusJson(clientId, 'deleted', deleted))
      else if (!deleted) print(`${clientId} was already deleted.\n`)
      else {
        const keys = keysRevoked === 0 ? '' : ` and ${counted(keysRevoked, 'key')}`
        const done = `${counted(secretsRevoked, 'secret')}${keys} revoked, ${counted(accessRemoved, 'grant')} removed`
        print(`${clientId} is deleted: ${done}.\n`)
      }
    })
  },
})

import { type ClientFilter, clientPages } from '../../administration/client-list-store.ts'
import { clientKinds, type StoredClient } from '../../administration/definition.ts'
import { findExpiring } from '../../administration/secret-end-store.ts'
import type { EndingSecret } from '../../authentication/secret-expiry.ts'
import { systemClock } from '../../lib/clock.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { futureMoment, pastMoment } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, type OptionValues, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { someOf } from '../terminal/mistakes.ts'
import { counted, jsonLine, note, print, shownMoment } from '../terminal/output.ts'
import { SealNotes } from '../terminal/seal-notes.ts'
import { Table } from '../terminal/table.ts'

const statuses = ['active', 'disabled', 'deleted', 'all'] as const

const options = {
  status: { type: 'string', value: 'STATUS', description: `only ${statuses.join(', ')}` },
  owner: { type: 'string', value: 'WHO', description: 'only those of this owner' },
  'no-owner': { type: 'boolean', description: 'only those that have no owner' },
  purpose: { type: 'string', value: 'TEXT', description: 'only those whose purpose contains this' },
  kind: { type: 'string', value: 'KIND', description: `only ${clientKinds.join(', ')}` },
  'created-by': { type: 'string', value: 'WHO', description: 'only those that this user created' },
  'created-since': {
    type: 'string',
    value: 'TIME',
    description: 'only those created since then, like 30d (ago) or 2027-01-31',
  },
  'never-used': { type: 'boolean', description: 'only those that never got a token' },
  'unused-for': {
    type: 'string',
    value: 'TIME',
    description: 'only those that got no token for so long, like 90d',
  },
  'expires-within': {
    type: 'string',
    value: 'TIME',
    description: 'only those that get no more tokens within that time, like 30d',
  },
  ...jsonOption,
} as const

export const clientsList = defineCommand({
  path: ['clients', 'list'],
  summary: 'list all clients, or those that the options choose',
  details:
    'Deleted clients are only listed with --status deleted or --status all. With several options, a client must fit all of\n' +
    'them. EXPIRES is when a client gets no more tokens unless somebody acts: when it expires, or when its last secret or\n' +
    'key does.',
  options,
  examples: [
    ['bin/mintmark clients list', 'all clients that are active or disabled'],
    ['bin/mintmark clients list --status disabled --json', 'for scripts'],
    ['bin/mintmark clients list --expires-within 30d', 'what stops in the next month'],
    ['bin/mintmark clients list --never-used --no-owner', 'what nobody may need'],
  ],
  async run(given) {
    // A mistake is told before the database is asked for.
    const filter = filterOf(given, systemClock.nowSeconds())
    await withDatabase(async (connection) => {
      const { database, clock } = connection
      const notes = await SealNotes.open(connection)
      const pages = notes.around(clientPages(database.prisma, filter, clock.nowMilliseconds()))
      if (given.json) await printClientsAsJson(pages)
      else await printClients(pages)
      notes.print()
      const expiring = await findExpiring(database.prisma, clock.nowSeconds())
      if (expiring.length > 0) note(expiringNote(expiring))
    })
  },
})

/** @param now seconds since 1970. */
function filterOf(given: OptionValues<typeof options>, now: number): ClientFilter {
  const status = given.status ?? ''
  requireKnown('status', given.status, statuses)
  requireKnown('kind', given.kind, clientKinds)
  if (given['no-owner'] && given.owner !== undefined) throw usageError('--no-owner: not with --owner.')
  const { 'created-since': created, 'unused-for': unused, 'expires-within': within } = given
  const past = (option: string, text: string | undefined) =>
    text === undefined ? undefined : Math.floor(pastMoment(option, text, now * 1000) / 1000)
  return {
    statuses: status === 'all' ? statuses.slice(0, 3) : status === '' ? statuses.slice(0, 2) : [status],
    owner: given['no-owner'] ? null : given.owner,
    purpose: given.purpose,
    kind: given.kind,
    createdBy: given['created-by'],
    createdSince: past('created-since', created),
    isNeverUsed: given['never-used'],
    unusedSince: past('unused-for', unused),
    endsBefore: within === undefined ? undefined : futureMoment('expires-within', within, now),
  }
}

function requireKnown(option: string, text: string | undefined, known: readonly string[]): void {
  if (text === undefined || known.includes(text)) return
  throw usageError(`--${option}: must be one of ${known.join(', ')}.${didYouMean(text, known)}`)
}

function expiringNote(expiring: readonly EndingSecret[]): string {
  const clientIds = [...new Set(expiring.map(({ clientId }) => clientId))]
  return (
    `${counted(expiring.length, 'secret')} that ${expiring.length === 1 ? 'is' : 'are'} needed will end soon: ` +
    `${someOf(clientIds)}. "bin/mintmark clients secrets list CLIENT" says when and who uses it.`
  )
}

async function printClients(pages: AsyncIterable<readonly StoredClient[]>): Promise<void> {
  const table = new Table([
    { title: 'CLIENT' },
    { title: 'NAME', shrinks: true },
    { title: 'STATUS' },
    { title: 'METHOD' },
    { title: 'RESOURCES', alignRight: true },
    { title: 'SECRETS', alignRight: true },
    { title: 'EXPIRES' },
    { title: 'LAST USED' },
    { title: 'KIND' },
    { title: 'OWNER', shrinks: true },
  ])
  let count = 0
  for await (const page of pages) {
    if (page.length === 0) continue
    count += page.length
    const rows = page.map((client) => [
      client.clientId,
      client.name,
      client.status,
      client.tokenEndpointAuthMethod ?? 'any',
      String(client.access.length),
      String(client.validSecrets),
      shownMoment(client.endsAt),
      shownMoment(client.lastUsedAt, 'never'),
      client.kind ?? '-',
      client.owner ?? '-',
    ])
    print(table.render(rows))
  }
  if (count === 0) note('No such clients. "bin/mintmark clients create --help" shows how to make one.')
}

/** One document, written as it is read: there may be a hundred thousand. */
async function printClientsAsJson(pages: AsyncIterable<readonly StoredClient[]>): Promise<void> {
  let separator = '\n'
  print('{"clients":[')
  for await (const page of pages) {
    if (page.length === 0) continue
    const objects = page.map((client) =>
      jsonLine({
        client_id: client.clientId,
        name: client.name,
        status: client.status,
        token_endpoint_auth_method: client.tokenEndpointAuthMethod ?? null,
        expires_at: optionalMoment(client.expiresAt),
        created_at: optionalMoment(client.createdAt),
        resources: client.access.length,
        valid_secrets: client.validSecrets,
        valid_keys: client.keys.filter(({ state }) => state === 'valid').length,
        assertion_audience: client.assertionAudience,
        ...certificateFields(client),
        dpop_bound_access_tokens: client.dpopBoundTokens,
        fapi: client.fapi === true,
        jwks_uri: client.jwksUri ?? null,
        claims: client.claims ?? {},
        token_endpoint_audience_count: tokenEndpointAudienceCount(client),
        ...ownershipFields(client),
      }),
    )
    print(separator + objects.join(',\n'))
    separator = ',\n'
  }
  print('\n]}\n')
}

/** What is said of certificates, in the words of a file. */
export function certificateFields(client: StoredClient): Record<string, unknown> {
  const { certificateField: own, requiredCertificate: asked } = client
  return {
    ...(own === undefined ? {} : { [own.name]: own.value }),
    require_certificate: asked === undefined ? null : { [asked.name]: asked.value },
    tls_client_certificate_bound_access_tokens: client.certificateBoundTokens === true,
  }
}

/** Whom a client belongs to, and whether it is needed. */
export function ownershipFields(client: StoredClient): Record<string, unknown> {
  return {
    owner: client.owner ?? null,
    purpose: client.purpose ?? null,
    kind: client.kind ?? null,
    created_by: client.createdBy ?? null,
    last_used_at: optionalMoment(client.lastUsedAt),
    ends_at: optionalMoment(client.endsAt),
  }
}

/** How many tokens were issued for assertions of the old kind: who still has to change (RFC 10070). */
function tokenEndpointAudienceCount({ keys }: StoredClient): number {
  return keys.reduce((sum, key) => sum + key.tokenEndpointAudienceCount, 0)
}

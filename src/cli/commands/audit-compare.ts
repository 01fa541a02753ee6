import type { CameBack, CameBackKind, ChangeRecord } from '../../administration/came-back-state.ts'
import { exitCodes, OperatorError } from '../../errors.ts'
import { findChangesSince } from '../../ledger/record-store.ts'
import { entryFields } from '../terminal/audit-entry.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { readLedgerCopy } from '../terminal/ledger-copy.ts'
import { counted, json, note, print } from '../terminal/output.ts'
import { shellQuoted } from '../terminal/shell.ts'
import { Table } from '../terminal/table.ts'

export const auditCompare = defineCommand({
  path: ['audit', 'compare'],
  summary: 'after a restore: compare the registry with a copy of the ledger, and list what came back',
  details:
    'A restored backup revives what was disabled, revoked, removed or narrowed since it was made. FILE is what "audit list\n' +
    '--json" or "audit list --follow --json" printed: a copy of the ledger that is newer than the backup. Later records of\n' +
    'the ledger here count too. For each thing that came back, the output has the command that takes it away again.\n' +
    'Changes by hand in the database are not compared (outcome "changed by hand"). The exit code is 1 if something came\n' +
    'back or FILE was cut off, and 0 if FILE is whole and nothing came back.',
  positionals: [{ name: 'FILE', description: 'a copy of the ledger, as JSON; - reads standard input' }],
  options: { ...jsonOption },
  examples: [['bin/mintmark audit compare ledger.json', 'what has to be taken away again']],
  async run(options, [path = '']) {
    const { records: copied, cut } = await readLedgerCopy(path)
    const { findCameBack, inOrder } = await import('../../administration/came-back.ts')
    const { readNamed } = await import('../../administration/came-back-store.ts')
    return await withDatabase(async ({ config, database, databaseSeconds }) => {
      // By a clock that is ahead, a secret that came back would seem to be over.
      const now = await databaseSeconds()
      const changes = inOrder(copied)
      const [first] = changes
      if (first === undefined)
        throw new OperatorError(
          `${path}: has no change of the registry or the keys, so there is nothing to compare. Give a copy of the whole ` +
            'ledger: what "audit list --json" or "audit export" printed, without a filter.',
        )
      const here = await findChangesSince(database.prisma, first.committed_at ?? first.time)
      const records = [...changes, ...here.map((entry) => entryFields(entry) as unknown as ChangeRecord)]
      const state = await readNamed(database.prisma, records, config.schedule, now)
      const found = findCameBack(records, state, now)
      if (options.json) print(`${json({ came_back: found.map(fieldsOf), complete: cut === undefined })}\n`)
      else if (found.length > 0) print(shown(found))
      note(
        `${counted(changes.length, 'change')} in ${path}, the latest of ${changes.at(-1)?.time}: ` +
          (found.length === 0 ? 'nothing came back.' : `${counted(found.length, 'thing')} came back.`),
      )
      if (cut !== undefined) throw new OperatorError(`${path}: ${cut}`)
      return found.length > 0 ? exitCodes.failed : exitCodes.ok
    })
  },
})

const descriptions: Readonly<Record<CameBackKind, string>> = {
  client_enabled: 'was disabled, and is active again',
  client_undeleted: 'was deleted, and exists again',
  client_networks_widened: 'may call from more networks',
  client_expires_later: 'expires later, or not at all',
  client_method_changed: 'may authenticate by another method',
  client_audience_widened: 'its assertions may name the token endpoint',
  client_keys_elsewhere: 'publishes its keys in another place',
  client_certificate_changed: 'is known by another certificate than last',
  client_certificate_not_required: 'no longer has to bring a certificate',
  client_tokens_unbound: 'its tokens are not bound to a certificate',
  client_dpop_unbound: 'gets tokens that are not bound to a key',
  client_not_fapi: 'is no longer held to the FAPI profile',
  secret_alive: 'was revoked, and is valid again',
  secret_expires_later: 'was replaced, and expires later or not at all',
  client_key_alive: 'was revoked, and is valid again',
  access_back: 'was removed, and exists again',
  access_widened: 'has scopes that were removed',
  resource_undeleted: 'was deleted, and exists again',
  resource_scopes_back: 'has scopes that were removed',
  resource_lifetime_longer: 'its tokens live longer',
  resource_changed: 'its tokens have the earlier form again',
  key_unrevoked: 'was revoked, and is no longer revoked',
  client_claims_changed: 'its tokens have the earlier claims again',
  resource_claims_changed: 'its tokens have the earlier claims again',
  issuer_undeleted: 'was removed, and is trusted again',
  issuer_enabled: 'was disabled, and is active again',
  issuer_keys_back: 'has its earlier keys again: disable it, and set the new ones',
  rule_undeleted: 'was removed, and exists again',
  rule_changed: 'has its earlier content again: remove it, and add it as it was last',
  workload_unblocked: 'was blocked, and is no longer blocked',
}

/** The words of the command that takes it away again. */
function repairOf(each: CameBack): readonly string[] {
  const { kind, clientId = '', audience = '', secretId = '', kid = '', thumbprint = '' } = each
  const { setTo = [], surplus = [], detail } = each
  const updateClient = (option: string) => [
    'clients',
    'update',
    clientId,
    ...setTo.flatMap((value) => [option, value]),
  ]
  const updateResource = (option: string, values: readonly string[]) => [
    'resources',
    'update',
    audience,
    ...values.flatMap((value) => [option, value]),
  ]
  switch (kind) {
    case 'client_enabled':
      return ['clients', 'disable', clientId]
    case 'client_undeleted':
      return ['clients', 'delete', clientId]
    case 'client_networks_widened':
      return updateClient('--allow-network')
    case 'client_expires_later':
      return detail === 'passed' ? ['clients', 'disable', clientId] : updateClient('--expires-at')
    case 'client_method_changed':
      return updateClient('--auth-method')
    case 'client_audience_widened':
      return updateClient('--assertion-audience')
    case 'client_keys_elsewhere':
      if (setTo.length === 0) return ['clients', 'update', clientId, '--no-jwks-uri']
      return updateClient('--jwks-uri')
    case 'client_certificate_changed':
      if (setTo.length === 0) return ['clients', 'update', clientId, '--no-certificate']
      return updateClient(`--${String(detail).replaceAll('_', '-')}`)
    case 'client_certificate_not_required':
      return updateClient('--require-certificate')
    case 'client_tokens_unbound':
      return ['clients', 'update', clientId, '--tls-client-certificate-bound-access-tokens', 'yes']
    case 'client_dpop_unbound':
      return updateClient('--dpop-bound-access-tokens')
    case 'client_not_fapi':
      return updateClient('--fapi')
    case 'client_key_alive':
      return ['clients', 'keys', 'revoke', clientId, thumbprint]
    case 'secret_alive':
    case 'secret_expires_later':
      return ['clients', 'secrets', 'revoke', clientId, secretId]
    case 'access_back':
    case 'access_widened':
      return [
        'clients',
        'access',
        'remove',
        clientId,
        audience,
        ...(surplus.length === 0 ? [] : [surplus.join(',')]),
      ]
    case 'resource_undeleted':
      return ['resources', 'delete', audience]
    case 'resource_scopes_back':
      return updateResource('--remove-scope', surplus)
    case 'resource_lifetime_longer':
      return updateResource('--token-lifetime', setTo)
    case 'key_unrevoked':
      return ['keys', 'revoke', kid]
    default:
      return otherRepairs[kind](each)
  }
}

const updated = (
  what: 'clients' | 'resources',
  id = '',
  ...options: readonly string[]
): readonly string[] => [what, 'update', id, ...options]

/** The same for what has options of its own. */
const otherRepairs = {
  resource_changed({ audience, setTo = [], detail }: CameBack) {
    if (detail === 'subject_form' && setTo.length === 0)
      return updated('resources', audience, '--no-subject-form')
    // Only an external resource can have a form.
    const without = detail === 'external' && setTo[0] === 'no' ? ['--no-subject-form'] : []
    return updated('resources', audience, `--${String(detail).replaceAll('_', '-')}`, ...setTo, ...without)
  },
  client_claims_changed: (each: CameBack) => updated('clients', each.clientId, ...claimRepair(each)),
  resource_claims_changed: (each: CameBack) => updated('resources', each.audience, ...claimRepair(each)),
  issuer_undeleted: ({ issuer = '' }: CameBack) => ['trust', 'remove', '--issuer', issuer],
  issuer_enabled: ({ issuer = '' }: CameBack) => ['trust', 'disable', issuer],
  issuer_keys_back: ({ issuer = '' }: CameBack) => ['trust', 'disable', issuer],
  rule_undeleted: ({ rule = '' }: CameBack) => ['trust', 'remove', rule],
  rule_changed: ({ rule = '' }: CameBack) => ['trust', 'remove', rule],
  workload_unblocked: ({ workloadId = '' }: CameBack) => ['trust', 'block', workloadId],
} satisfies { readonly [Kind in CameBackKind]?: (each: CameBack) => readonly string[] }

/** The options that make the claims what they were last. */
function claimRepair({ setTo: [text = '{}'] = [], surplus = [] }: CameBack): readonly string[] {
  const claims = Object.entries(JSON.parse(text) as object)
  return [
    ...claims.flatMap(([name, value]) => ['--claim', `${name}:=${JSON.stringify(value)}`]),
    ...surplus.flatMap((name) => ['--no-claim', name]),
  ]
}

function commandOf(each: CameBack): string {
  const words = repairOf(each).map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuoted(word)))
  return ['bin/mintmark', ...words].join(' ')
}

function nameOf({ kind, clientId, audience, secretId, kid, ...each }: CameBack): string {
  if (each.rule !== undefined) return `rule ${each.rule} of ${each.issuer}`
  if (each.issuer !== undefined) return `issuer ${each.issuer}`
  if (each.workloadId !== undefined) return each.workloadId
  if (kid !== undefined) return `key ${kid}`
  if (secretId !== undefined) return `secret ${secretId} of ${clientId}`
  if (clientId === undefined) return `resource ${audience}`
  return kind.startsWith('access') ? `access of ${clientId} to ${audience}` : `client ${clientId}`
}

function shown(found: readonly CameBack[]): string {
  const rows = found.map((each) => [nameOf(each), descriptions[each.kind], each.takenAt])
  const table = new Table([{ title: 'CAME BACK' }, { title: 'HOW' }, { title: 'TAKEN AWAY' }]).render(rows)
  // Apart from the table, so that they can be copied.
  return `${table}\nTo take all of it away again:\n\n${found.map((each) => `  ${commandOf(each)}\n`).join('')}`
}

function fieldsOf(each: CameBack): Record<string, unknown> {
  return {
    kind: each.kind,
    client_id: each.clientId ?? null,
    audience: each.audience ?? null,
    secret_id: each.secretId ?? null,
    kid: each.kid ?? null,
    thumbprint: each.thumbprint ?? null,
    issuer: each.issuer ?? null,
    rule: each.rule ?? null,
    workload_id: each.workloadId ?? null,
    taken_away_at: each.takenAt,
    repair: commandOf(each),
  }
}

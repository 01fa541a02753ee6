import { type Applied, applyRegistration, mistakesBeside } from '../../administration/apply.ts'
import type { Registration } from '../../administration/definition.ts'
import type { Mistake } from '../../administration/mistake.ts'
import type { ReadablePart } from '../../administration/parse.ts'
import type { ClientStep } from '../../administration/plan.ts'
import type { SigningAlgorithm } from '../../keys/signing-algorithm.ts'
import type { FieldChange } from '../../ledger/change-records.ts'
import { colonNote } from '../terminal/colon-note.ts'
import { defineCommand } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { noteOfExternal } from '../terminal/external-note.ts'
import { Interrupted } from '../terminal/interrupted.ts'
import { secretContext } from '../terminal/key-context.ts'
import { json, note, print } from '../terminal/output.ts'
import { SecretOutput } from '../terminal/secret-output.ts'
import { Table } from '../terminal/table.ts'
import { terminal } from '../terminal/terminal.ts'

export const seed = defineCommand({
  path: ['seed'],
  summary: 'apply a file of resources, clients, access and trusted issuers',
  details: `The file is YAML or JSON; prisma/clients.example.yaml shows everything that may stand in it:

  resources:
    - audience: https://orders.example.com   # what the token is for
      name: Orders
      scopes: [orders:read, orders:write]
      token_lifetime: 300                    # seconds
      signing_algorithm: ES256               # or EdDSA, PS256, RS256
      token_typ: at+jwt                      # or JWT, for a framework that refuses at+jwt
  clients:
    - client_id: billing
      name: Billing
      access:
        - audience: https://orders.example.com
          scopes: [orders:read]
  # Optional for a resource: claims, and external with subject_form for an audience of somebody else (a cloud).
  # Optional for a client: claims, allowed_networks, expires_at, status (active or disabled), and
  # token_endpoint_auth_method (client_secret_basic or client_secret_post; left out: either).
  trust:
    - issuer: https://token.actions.githubusercontent.com   # whose assertions are accepted
      rules:
        - rule: deploy
          conditions:
            - {claim: repository_id, equals: "74"}
          client_id: billing

You can apply it again at any time. What the file names becomes what the file says. What it does not name stays
as it is. A client that was disabled stays disabled, unless the file states its status. A new client gets one
secret, which is shown once. Existing secrets are never changed. Either all of the file is applied or nothing.`,
  positionals: [{ name: 'FILE', description: 'the file to apply' }],
  options: {
    'dry-run': { type: 'boolean', description: 'say what would be done, and do nothing' },
    'secrets-out': {
      type: 'string',
      value: 'FILE',
      description: 'write new secrets, if there are any, to a new JSON file (mode 0600) and not to stdout',
    },
    json: { type: 'boolean', description: 'print one JSON document instead of text' },
  },
  examples: [
    ['bin/mintmark seed prisma/clients.example.yaml --dry-run', 'see what it would do'],
    ['bin/mintmark seed prisma/clients.example.yaml', 'do it'],
    [
      'bin/mintmark seed clients.yaml --secrets-out new-secrets.json',
      'from a pipeline, whose output is kept',
    ],
  ],
  async run(options, [path = '']) {
    // Loaded here, because a process that serves has no use for a reader of files.
    const { judgeRegistryFile } = await import('../../administration/registry-file.ts')
    // Read before the database is opened: a mistake in the file needs none.
    const { mistakes, part: file, refusal } = judgeRegistryFile(path)
    if (mistakes.length > 0) throw refusal([...mistakes, ...(await mistakesInRegistry(file))])
    const dryRun = options['dry-run']
    const output = new SecretOutput('secrets-out', options['secrets-out'])
    await output.around(async () => {
      const progress = new Progress()
      const result = await withDatabase(async (connection) => {
        warnOfAlgorithms(file, connection.config.signingAlgorithms)
        noteOfExternal(file, connection.config)
        for (const client of file.clients) {
          const word = colonNote(client)
          if (word !== undefined) note(word)
          if (client.expiresAt !== undefined && client.expiresAt <= connection.clock.nowSeconds()) {
            note(
              `${client.clientId}: its expires_at is in the past, so it gets no tokens. Write a later time, or leave it out.`,
            )
          }
        }
        return await applyRegistration(await secretContext(connection), file, {
          dryRun,
          refusal,
          expectSecrets: () => output.reserve(),
          onProgress: (made, total) => progress.show(made, total),
          deliver(secrets) {
            if (secrets.length > 0) output.deliver(secretsDocument(secrets))
          },
        })
      }).finally(() => progress.end())
      const shown = output.path === undefined ? result.secrets : []
      if (options.json) print(`${json(resultFields(result, shown, dryRun))}\n`)
      else printResult(result, shown, dryRun)
      if (output.path !== undefined && !dryRun) {
        note(
          result.secrets.length === 0
            ? 'No new secrets; no file was written.'
            : `New secrets are in ${output.path}.`,
        )
      }
    })
  },
})

/**
 * What is also wrong with a file that has mistakes, so that they are told at once. The database may be away: then those
 * of the file alone are told.
 */
async function mistakesInRegistry(part: ReadablePart): Promise<Mistake[]> {
  return await withDatabase((connection) => mistakesBeside(connection, part)).catch((error: unknown) => {
    if (error instanceof Interrupted) throw error
    return []
  })
}

/** The service makes the keys by itself, but only when it looks, and a new key waits for the lead time. */
export function warnOfAlgorithms(
  file: Pick<Registration, 'resources'>,
  configured: readonly SigningAlgorithm[],
): void {
  for (const { audience, signingAlgorithm } of file.resources) {
    if (configured.includes(signingAlgorithm)) continue
    note(
      `${audience}: is signed with ${signingAlgorithm}, which is not in MINTMARK_SIGNING_ALGORITHMS ` +
        `(${configured.join(',')} here). If there is no ${signingAlgorithm} key yet, the service makes one within a ` +
        'minute; until it signs ("keys list" says when), tokens for this resource are refused (keys_unavailable).',
    )
  }
}

function secretsDocument(secrets: Applied['secrets']): string {
  const clients = secrets.map(({ clientId, secret }) => ({ client_id: clientId, client_secret: secret }))
  return `${json({ clients })}\n`
}

function resultFields(result: Applied, secrets: Applied['secrets'], dryRun: boolean): unknown {
  const byClient = new Map(secrets.map(({ clientId, secret }) => [clientId, secret]))
  const trust = result.plan.issuers.map(({ definition, status, rules }) => ({
    issuer: definition.issuer,
    status,
    rules: rules.map(({ rule: { rule }, outcome }) => ({ rule, status: outcome })),
  }))
  return {
    ...(dryRun ? { dry_run: true } : {}),
    resources: result.plan.resources.map(({ definition, status }) => ({
      audience: definition.audience,
      status,
    })),
    clients: result.plan.clients.map(({ definition: { clientId }, status }) => {
      const secret = byClient.get(clientId)
      return { client_id: clientId, ...(secret === undefined ? {} : { client_secret: secret }), status }
    }),
    ...(trust.length === 0 ? {} : { trust }),
  }
}

function printResult(result: Applied, secrets: Applied['secrets'], dryRun: boolean): void {
  const { resources, clients, issuers } = result.plan
  const rows = [
    ...resources.map(({ definition, status, changes }) => {
      return ['resource', definition.audience, status, describeChanges(changes)]
    }),
    ...clients.map((step) => {
      const access = step.access.map(({ access, outcome }) => `access to ${access.audience} ${outcome}`)
      const lack = lackOf(step)
      const keys = step.keys.map(({ key, outcome }) => `key ${key.kid ?? key.thumbprint} ${outcome}`)
      const changes = describeChanges(step.changes)
      const details = [...(changes === '' ? [] : [changes]), ...keys, ...access, ...lack].join('; ')
      return ['client', step.definition.clientId, step.status, details]
    }),
    ...issuers.map(({ definition, status, changes, rules }) => {
      const ofRules = rules.map(({ rule: { rule }, outcome }) => `rule ${rule} ${outcome}`)
      const ofIssuer = changes.length === 0 ? [] : [describeChanges(changes)]
      return ['issuer', definition.issuer, status, [...ofIssuer, ...ofRules].join('; ')]
    }),
  ]
  const columns = [{ title: 'WHAT' }, { title: 'WHICH' }, { title: 'STATUS' }, { title: 'DETAILS' }]
  print(new Table(columns).render(rows))
  const count = (status: string): number => rows.filter((row) => row[2] === status).length
  const counts = `${count('created')} created, ${count('changed')} changed, ${count('unchanged')} unchanged`
  print(`\n${counts}.${dryRun ? ' This was a dry run: nothing was done.' : ''}\n`)
  if (secrets.length === 0) return
  print('\nNew secrets. This is the only time they are shown; only their hashes are kept.\n\n')
  const shown = secrets.map(({ clientId, secret }) => [clientId, secret])
  print(new Table([{ title: 'CLIENT' }, { title: 'SECRET' }]).render(shown))
}

function lackOf({ definition: { clientId }, lacksSecret, lacksKey }: ClientStep): readonly string[] {
  if (lacksKey) return [`has no key: bin/mintmark clients keys add ${clientId} FILE`]
  return lacksSecret ? [`has no secret: bin/mintmark clients secrets add ${clientId}`] : []
}

export function describeChanges(changes: readonly FieldChange[]): string {
  return changes.map(({ field, from, to }) => `${field}: ${shownValue(from)} → ${shownValue(to)}`).join('; ')
}

function shownValue(value: unknown): string {
  if (value === null) return 'not set'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return Array.isArray(value) ? `[${value.join(', ')}]` : String(value)
}

/** Says on stderr how far the hashing is, once it has taken a while. */
class Progress {
  #nextAt = performance.now() + 2_000
  #isOpen = false

  show(made: number, total: number): void {
    const now = performance.now()
    if (now < this.#nextAt) return
    const isTerminal = terminal().stderr.isTTY === true
    this.#nextAt = now + (isTerminal ? 200 : 5_000)
    const text = `${made} of ${total} new secrets made`
    terminal().stderr.write(isTerminal ? `\r${text}` : `${text}\n`)
    this.#isOpen = isTerminal
  }

  end(): void {
    if (this.#isOpen) terminal().stderr.write('\r\x1b[K')
  }
}

import { findClient } from '../../administration/client-store.ts'
import type { StoredSecret } from '../../administration/definition.ts'
import { findExpiring } from '../../administration/secret-end-store.ts'
import { addSecret } from '../../administration/secret-store.ts'
import { readSecretCallers, type SecretCaller } from '../../authentication/secret-use-store.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { futureMoment } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { secretContext } from '../terminal/key-context.ts'
import { json, note, print, shownMoment } from '../terminal/output.ts'
import { SecretOutput } from '../terminal/secret-output.ts'
import { Table } from '../terminal/table.ts'

const clientArgument = { name: 'CLIENT', description: 'the client id' } as const

export const secretsAdd = defineCommand({
  path: ['clients', 'secrets', 'add'],
  summary: 'give a client one more secret and print it, once',
  details:
    'The others stay valid until somebody revokes them. To replace them, use "clients secrets rotate".',
  positionals: [clientArgument],
  options: {
    'expires-in': {
      type: 'string',
      value: 'TIME',
      description: 'when it expires, like 90d; otherwise never',
    },
    'expires-at': {
      type: 'string',
      value: 'MOMENT',
      description: 'the same as a moment, like 2027-01-31T23:59:59Z',
    },
    'secret-out': {
      type: 'string',
      value: 'FILE',
      description: 'write it to a new file (mode 0600) instead',
    },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark clients secrets add billing --expires-in 90d', 'a secret for the next quarter'],
    ['bin/mintmark clients secrets add billing --secret-out billing.secret', 'kept off the screen'],
  ],
  async run(options, [clientId = '']) {
    if (options['expires-in'] !== undefined && options['expires-at'] !== undefined) {
      throw usageError('--expires-in and --expires-at say the same thing: use one of them.')
    }
    const option = options['expires-in'] === undefined ? 'expires-at' : 'expires-in'
    const ends = options[option]
    const output = new SecretOutput('secret-out', options['secret-out'])
    output.reserve()
    await output.around(() =>
      withDatabase(async (connection) => {
        const expiresAt =
          ends === undefined ? undefined : futureMoment(option, ends, await connection.databaseSeconds())
        const { secret, clientStatus, method } = await addSecret(await secretContext(connection), clientId, {
          expiresAt,
          deliver: (made) => output.deliverOne(made),
        })
        if (options.json) {
          const shown = output.path === undefined ? { client_secret: secret.secret } : {}
          const fields = {
            secret_id: secret.secretId,
            expires_at: optionalMoment(expiresAt),
            status: 'added',
          }
          print(`${json({ client_id: clientId, ...shown, ...fields })}\n`)
        } else {
          print(
            `${clientId} has a new secret ${secret.secretId}, valid until ${shownMoment(expiresAt, 'revoked')}:\n`,
          )
          output.printOne(secret)
        }
        if (clientStatus === 'disabled') {
          note(`${clientId} is disabled. "bin/mintmark clients enable ${clientId}" enables it.`)
        }
        if (method !== null && !method.startsWith('client_secret_')) {
          note(
            `${clientId} authenticates with ${method}, so a secret is refused. ` +
              `"bin/mintmark clients update ${clientId} --auth-method any" accepts both.`,
          )
        }
      }),
    )
  },
})

export const secretsList = defineCommand({
  path: ['clients', 'secrets', 'list'],
  summary:
    "list a client's secrets: when they were made, used and revoked, and who uses those that are valid",
  details:
    'Times of use can be wrong by about half a minute. The latest callers of each secret are kept, by address and user\n' +
    'agent, and forgotten after a month without a use. The last line of a list counts all others.',
  positionals: [clientArgument],
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark clients secrets list billing', 'see which one is still in use before revoking another'],
  ],
  async run(options, [clientId = '']) {
    await withDatabase(async ({ database, clock }) => {
      const { secrets } = await findClient(database.prisma, clientId, clock.nowMilliseconds())
      const ids = secrets.map(({ secretId }) => secretId)
      const callers = await readSecretCallers(database.prisma, ids)
      const expiring = await findExpiring(database.prisma, clock.nowSeconds(), clientId)
      if (options.json) {
        const fields = secrets.map((secret) => ({
          ...secretFields(secret),
          needs_replacement: expiring.some(({ secretId }) => secretId === secret.secretId),
          used_by: callers.filter(({ secretId }) => secretId === secret.secretId).map(callerFields),
        }))
        print(`${json({ client_id: clientId, secrets: fields })}\n`)
      } else {
        print(secretTable(secrets))
        for (const { secretId, state, overlap } of secrets) {
          const its = callers.filter((caller) => caller.secretId === secretId)
          if (state !== 'valid' || its.length === 0) continue
          const isOld = overlap === undefined ? '' : `, which ${overlap.replacedBy} replaces`
          print(`\nWho uses ${secretId}${isOld}:\n\n${callerTable(its)}`)
        }
      }
      for (const { secretId, expiresAt, hasLater } of expiring) {
        const why = hasLater ? 'is still used' : 'is the last one of this client'
        note(
          `${secretId} ends ${shownMoment(expiresAt)} and ${why}: bin/mintmark clients secrets rotate ${clientId}`,
        )
      }
    })
  },
})

export function secretFields(secret: StoredSecret): Record<string, unknown> {
  return {
    secret_id: secret.secretId,
    hint: secret.hint,
    state: secret.state,
    created_at: optionalMoment(secret.createdAt),
    expires_at: optionalMoment(secret.expiresAt),
    last_used_at: optionalMoment(secret.lastUsedAt),
    revoked_at: optionalMoment(secret.revokedAt),
    replaced_by: secret.overlap?.replacedBy ?? null,
    ends_when_unused_seconds: secret.overlap?.unusedSeconds ?? null,
  }
}

export function callerFields(caller: SecretCaller): Record<string, unknown> {
  return {
    address: caller.address ?? null,
    user_agent: caller.userAgent ?? null,
    count: caller.count,
    last_used_at: optionalMoment(caller.lastUsedAt),
  }
}

export function callerTable(callers: readonly SecretCaller[]): string {
  const table = new Table([
    { title: 'ADDRESS' },
    { title: 'USER AGENT', shrinks: true },
    { title: 'TOKENS', alignRight: true },
    { title: 'LAST USED' },
  ])
  return table.render(
    callers.map(({ address, userAgent, count, lastUsedAt }) => [
      address ?? '(others)',
      userAgent ?? '-',
      String(count),
      shownMoment(lastUsedAt),
    ]),
  )
}

export function secretTable(secrets: readonly StoredSecret[]): string {
  if (secrets.length === 0) return 'No secrets.\n'
  const titles = ['SECRET', 'HINT', 'STATE', 'CREATED', 'EXPIRES', 'LAST USED', 'REVOKED']
  return new Table(titles.map((title) => ({ title }))).render(
    secrets.map((secret) => [
      secret.secretId,
      secret.hint,
      secret.state,
      shownMoment(secret.createdAt),
      shownMoment(secret.expiresAt, 'never'),
      shownMoment(secret.lastUsedAt, 'never'),
      shownMoment(secret.revokedAt),
    ]),
  )
}

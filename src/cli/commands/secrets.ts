import { findClient } from '../../administration/client-store.ts'
import type { StoredSecret } from '../../administration/definition.ts'
import { addSecret, revokeSecret } from '../../administration/secret-store.ts'
import { secretIdOf } from '../../authentication/secret.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { futureMoment } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { secretContext } from '../terminal/key-context.ts'
import { json, jsonLine, note, print, shownMoment } from '../terminal/output.ts'
import { SecretOutput } from '../terminal/secret-output.ts'
import { Table } from '../terminal/table.ts'

const clientArgument = { name: 'CLIENT', description: 'the client id' } as const

export const secretsAdd = defineCommand({
  path: ['clients', 'secrets', 'add'],
  summary: 'give a client one more secret and print it, once',
  details:
    'To replace a secret without a gap: add one and deploy it. When "clients secrets list" shows that the old one is\n' +
    'not used any more, revoke the old one.',
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
          ends === undefined ? undefined : futureMoment(option, ends, connection.clock.nowSeconds())
        const { secret, clientStatus } = await addSecret(await secretContext(connection), clientId, {
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
      }),
    )
  },
})

export const secretsList = defineCommand({
  path: ['clients', 'secrets', 'list'],
  summary: "list a client's secrets: when they were made, used and revoked",
  details: 'The time of last use is true to about half a minute.',
  positionals: [clientArgument],
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark clients secrets list billing', 'see which one is still in use before revoking another'],
  ],
  async run(options, [clientId = '']) {
    await withDatabase(async ({ database, clock }) => {
      const { secrets } = await findClient(database.prisma, clientId, clock.nowMilliseconds())
      if (options.json) print(`${json({ client_id: clientId, secrets: secrets.map(secretFields) })}\n`)
      else print(secretTable(secrets))
    })
  },
})

export const secretsRevoke = defineCommand({
  path: ['clients', 'secrets', 'revoke'],
  summary: 'revoke a secret: it is refused from the moment this returns',
  details:
    'In force on every replica when the command returns. Tokens that were issued with it live until they expire.',
  positionals: [
    clientArgument,
    { name: 'SECRET_ID', description: 'the id that "clients secrets list" shows' },
  ],
  options: { ...jsonOption },
  examples: [['bin/mintmark clients secrets revoke billing k3v9x2ab', 'the one whose hint is mm_k3v9x2ab…']],
  async run(options, [clientId = '', given = '']) {
    await withDatabase(async (connection) => {
      const secretId = secretIdFrom(given)
      const { revoked, validLeft } = await revokeSecret(connection, clientId, secretId)
      if (options.json) {
        const fields = { client_id: clientId, secret_id: secretId, status: 'revoked', changed: revoked }
        print(`${jsonLine({ ...fields, valid_secrets: validLeft })}\n`)
      } else print(`${secretId} ${revoked ? 'is' : 'was already'} revoked.\n`)
      if (validLeft === 0) {
        note(
          `${clientId} has no valid secret left and gets no tokens: bin/mintmark clients secrets add ${clientId}`,
        )
      }
    })
  },
})

/** The id is given by itself, in the hint, or, if a secret leaked, in that secret. */
function secretIdFrom(text: string): string {
  return /^mm_([0-9A-Za-z]{8})…?$/.exec(text)?.[1] ?? secretIdOf(text) ?? text
}

export function secretFields(secret: StoredSecret): Record<string, unknown> {
  return {
    secret_id: secret.secretId,
    hint: secret.hint,
    state: secret.state,
    created_at: optionalMoment(secret.createdAt),
    expires_at: optionalMoment(secret.expiresAt),
    last_used_at: optionalMoment(secret.lastUsedAt),
    revoked_at: optionalMoment(secret.revokedAt),
  }
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

import { addClientKeys, revokeClientKey } from '../../administration/client-key-store.ts'
import { findClient } from '../../administration/client-store.ts'
import type { StoredKey } from '../../administration/definition.ts'
import { readKeyFile } from '../../administration/key-file.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { futureMoment } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { counted, json, jsonLine, note, print, shownMoment } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { inWordsOf } from './clients-create.ts'

const clientArgument = { name: 'CLIENT', description: 'the client id' } as const

export const clientsKeysAdd = defineCommand({
  path: ['clients', 'keys', 'add'],
  summary: 'register public keys of a client, which verify its assertions (private_key_jwt)',
  details:
    'The file has a JSON Web Key, a set of them, or public keys in PEM. Private keys stay with the client. To replace a\n' +
    'key without a gap: add the new one and deploy its private half. When "clients keys list" shows that the old one is no\n' +
    'longer used, revoke the old one.',
  positionals: [clientArgument, { name: 'FILE', description: 'the file with the public keys' }],
  options: {
    kid: {
      type: 'string',
      value: 'KID',
      description: 'the kid in the header of its assertions, for a key that has none',
    },
    alg: {
      type: 'string',
      value: 'ALG',
      description: 'what the key verifies: RS256 for an RSA key that is not for PS256',
    },
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
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark clients keys add billing billing.public.pem --kid 2027-01', 'a key from openssl'],
    ['bin/mintmark clients keys add billing jwks.json --expires-in 90d', 'keys for the next quarter'],
  ],
  async run(options, [clientId = '', file = '']) {
    const { kid, alg } = options
    if (options['expires-in'] !== undefined && options['expires-at'] !== undefined) {
      throw usageError('--expires-in and --expires-at say the same thing: use one of them.')
    }
    const option = options['expires-in'] === undefined ? 'expires-at' : 'expires-in'
    const ends = options[option]
    const given = readKeyFile(file)
    if (given.length > 1 && kid !== undefined)
      throw usageError('--kid: the file has several keys, and it names one.')
    const more = { ...(kid === undefined ? {} : { kid }), ...(alg === undefined ? {} : { alg }) }
    const keys = await readKeys(given.map((key) => withMembers(key, more)))
    await withDatabase(async (connection) => {
      const expiresAt =
        ends === undefined ? undefined : futureMoment(option, ends, await connection.databaseSeconds())
      const { clientStatus } = await addClientKeys(connection, clientId, keys, expiresAt)
      if (options.json) {
        const added = keys.map((key) => ({
          thumbprint: key.thumbprint,
          kid: key.kid ?? null,
          alg: key.algorithm,
        }))
        print(
          `${json({ client_id: clientId, keys: added, expires_at: optionalMoment(expiresAt), status: 'added' })}\n`,
        )
      } else {
        print(
          `${clientId} has ${counted(keys.length, 'new key')}, valid until ${shownMoment(expiresAt, 'revoked')}:\n`,
        )
        for (const { thumbprint, kid: name, algorithm } of keys) {
          print(`${thumbprint} (${algorithm}, kid: ${name ?? 'the thumbprint'})\n`)
        }
      }
      if (clientStatus === 'disabled') {
        note(`${clientId} is disabled. "bin/mintmark clients enable ${clientId}" enables it.`)
      }
    })
  },
})

const withMembers = (key: unknown, members: Readonly<Record<string, string>>): unknown =>
  typeof key === 'object' && key !== null && !Array.isArray(key) ? { ...key, ...members } : key

/** Keys under the rules of a file. @throws OperatorError with the first mistake. */
async function readKeys(given: readonly unknown[]) {
  // Loaded here, because a process that serves has no use for it.
  const { parseClient } = await import('../../administration/parse.ts')
  const { value, mistakes } = parseClient({ client_id: 'any', jwks: { keys: given } })
  const [mistake] = mistakes
  if (mistake !== undefined) throw usageError(inWordsOf(mistake))
  return value?.keys ?? []
}

export const clientsKeysList = defineCommand({
  path: ['clients', 'keys', 'list'],
  summary: "list a client's public keys: when they were added, used and revoked",
  details:
    'The time of last use can be wrong by about half a minute. TOKEN ENDPOINT counts the tokens for assertions that named\n' +
    'the token endpoint as their audience, which is only accepted from a client with assertion_audience: token_endpoint.',
  positionals: [clientArgument],
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark clients keys list billing', 'see which one is still in use before revoking another'],
  ],
  async run(options, [clientId = '']) {
    await withDatabase(async ({ database, clock }) => {
      const { keys } = await findClient(database.prisma, clientId, clock.nowMilliseconds())
      if (options.json) print(`${json({ client_id: clientId, keys: keys.map(keyFields) })}\n`)
      else print(keyTable(keys))
    })
  },
})

export const clientsKeysRevoke = defineCommand({
  path: ['clients', 'keys', 'revoke'],
  summary: 'revoke a public key: its assertions are refused from the moment this returns',
  details:
    'In force on every replica when the command returns. Tokens that were issued with it live until they expire. A revoked\n' +
    'key cannot be registered again.',
  positionals: [
    clientArgument,
    { name: 'KEY', description: 'the thumbprint or the kid that "clients keys list" shows' },
  ],
  options: { ...jsonOption },
  examples: [['bin/mintmark clients keys revoke billing 2026-10', 'the one with this kid']],
  async run(options, [clientId = '', name = '']) {
    await withDatabase(async (connection) => {
      const { thumbprint, revoked, validLeft } = await revokeClientKey(connection, clientId, name)
      if (options.json) {
        const fields = { client_id: clientId, thumbprint, status: 'revoked', changed: revoked }
        print(`${jsonLine({ ...fields, valid_keys: validLeft })}\n`)
      } else print(`${thumbprint} ${revoked ? 'is' : 'was already'} revoked.\n`)
      if (validLeft === 0) {
        note(`${clientId} has no valid key left: bin/mintmark clients keys add ${clientId} FILE`)
      }
    })
  },
})

export function keyFields(key: StoredKey): Record<string, unknown> {
  return {
    thumbprint: key.thumbprint,
    kid: key.kid ?? null,
    alg: key.algorithm,
    state: key.state,
    created_at: optionalMoment(key.createdAt),
    expires_at: optionalMoment(key.expiresAt),
    last_used_at: optionalMoment(key.lastUsedAt),
    revoked_at: optionalMoment(key.revokedAt),
    token_endpoint_audience: {
      count: key.tokenEndpointAudienceCount,
      last_at: optionalMoment(key.tokenEndpointAudienceAt),
    },
  }
}

export function keyTable(keys: readonly StoredKey[]): string {
  if (keys.length === 0) return 'No keys.\n'
  const titles = [
    'KEY',
    'KID',
    'ALG',
    'STATE',
    'CREATED',
    'EXPIRES',
    'LAST USED',
    'REVOKED',
    'TOKEN ENDPOINT',
  ]
  return new Table(titles.map((title) => ({ title }))).render(
    keys.map((key) => [
      key.thumbprint,
      key.kid ?? '',
      key.algorithm,
      key.state,
      shownMoment(key.createdAt),
      shownMoment(key.expiresAt, 'never'),
      shownMoment(key.lastUsedAt, 'never'),
      shownMoment(key.revokedAt),
      String(key.tokenEndpointAudienceCount),
    ]),
  )
}

import { argon2Sync, createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type pg from 'pg'
import { secretIdOf } from '../src/authentication/secret.ts'
import { generateSecret } from '../src/authentication/secret-hash.ts'
import type { Credentials } from './requests.ts'

/**
 * Registers thousands of clients by SQL.
 *
 * A stored hash covers the whole secret with its id, so every client needs its own hash. A real hash takes 26
 * ms to compute. Warm requests never compute a hash. So for warm measurements, clients get argon2id hashes of
 * the lowest cost (8 KiB, one pass: about 0.05 ms). The service accepts them, because a hash contains its
 * parameters. For measurements of first requests, clients get the same hashes as in production.
 */
export type HashCost = 'least' | 'real'

const audience = 'https://bench.example.com'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const rowsPerInsert = 10_000

interface NewClient extends Credentials {
  readonly secretId: string
  readonly hash: string
  readonly hint: string
}

/**
 * Registers the clients `<prefix>-1`, `<prefix>-2` …, each with its own secret and access to one resource.
 */
export async function registerClients(
  database: pg.Client,
  count: number,
  cost: HashCost,
  prefix = 'client',
): Promise<Credentials[]> {
  await database.query(
    `INSERT INTO resource (audience, name, scopes) VALUES ($1, 'Bench', '{read}') ON CONFLICT DO NOTHING`,
    [audience],
  )
  const registered: Credentials[] = []
  for (let first = 0; first < count; first += rowsPerInsert) {
    const clients = await makeClients(prefix, first, Math.min(rowsPerInsert, count - first), cost)
    await insertClients(database, clients)
    for (const { clientId, secret } of clients) registered.push({ clientId, secret })
  }
  // These are not changes that somebody made behind the back of the service, which would have a record each.
  await database.query('DELETE FROM registry_unrecorded_change')
  return registered
}

async function makeClients(
  prefix: string,
  first: number,
  count: number,
  cost: HashCost,
): Promise<NewClient[]> {
  const numbers = Array.from({ length: count }, (_, index) => first + index + 1)
  return await Promise.all(
    numbers.map(async (number) => {
      const made = cost === 'real' ? await generateSecret() : cheapSecret()
      return { clientId: `${prefix}-${number}`, ...made }
    }),
  )
}

async function insertClients(database: pg.Client, clients: readonly NewClient[]): Promise<void> {
  const clientIds = clients.map(({ clientId }) => clientId)
  await database.query('INSERT INTO client (client_id, name) SELECT id, id FROM unnest($1::text[]) AS id', [
    clientIds,
  ])
  await database.query(
    `INSERT INTO client_secret (secret_id, client_id, hash, hint)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])`,
    [
      clients.map(({ secretId }) => secretId),
      clientIds,
      clients.map(({ hash }) => hash),
      clients.map(({ hint }) => hint),
    ],
  )
  await database.query(
    `INSERT INTO access (client_id, audience, scopes) SELECT id, $2, '{read}' FROM unnest($1::text[]) AS id`,
    [clientIds, audience],
  )
}

/**
 * A wrong secret in the form of src/authentication/secret.ts. Its checksum is right, so the service must
 * compute a hash to refuse it.
 */
export function wrongSecret(): string {
  return newSecret().secret
}

function cheapSecret() {
  const { secretId, secret } = newSecret()
  const nonce = randomBytes(8)
  const tag = argon2Sync('argon2id', {
    message: secret,
    nonce,
    parallelism: 1,
    tagLength: 16,
    memory: 8,
    passes: 1,
  })
  const unpadded = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  return {
    secretId,
    secret,
    hash: `$argon2id$v=19$m=8,t=1,p=1$${unpadded(nonce)}$${unpadded(tag)}`,
    hint: `mm_${secretId}…`,
  }
}

/**
 * Like `generateSecret`, without the hash.
 * @throws if the service no longer accepts this form of a secret.
 */
function newSecret(): { secretId: string; secret: string } {
  const secretId = randomText(8)
  const body = `mm_${secretId}${randomText(43)}`
  let rest = crc32(body)
  let checksum = ''
  while (checksum.length < 6) {
    checksum = alphabet.charAt(rest % 62) + checksum
    rest = Math.floor(rest / 62)
  }
  const secret = body + checksum
  if (secretIdOf(secret) !== secretId) {
    throw new Error(
      'src/authentication/secret.ts has changed the form of a secret; change bench/clients.ts after it',
    )
  }
  return { secretId, secret }
}

const randomText = (length: number): string =>
  [...randomBytes(length)].map((byte) => alphabet.charAt(byte % alphabet.length)).join('')

/**
 * Draws the index of a client `count` times, by Zipf's law with exponent 1: the first client is drawn a
 * thousand times as often as the thousandth. Every run draws the same indexes.
 */
export function zipfDraw(clients: number, count: number): number[] {
  const cumulative = new Float64Array(clients)
  let sum = 0
  for (let index = 0; index < clients; index += 1) {
    sum += 1 / (index + 1)
    cumulative[index] = sum
  }
  return Array.from({ length: count }, (_, number) => lowerBound(cumulative, share(number) * sum))
}

/** A pseudo-random number from 0 up to 1, always the same for the same input. */
function share(number: number): number {
  return createHash('sha256').update(String(number)).digest().readUInt32BE() / 2 ** 32
}

function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

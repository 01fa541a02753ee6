import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { makeTag, tagKey } from '../../src/authentication/secret-tag.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { runFile } from '../children.ts'
import { registerClients } from '../clients.ts'
import { type BenchDatabase, sealingKey } from '../database.ts'
import { medianHashMilliseconds } from '../hash-time.ts'
import { type Credentials, type PreparedRequest, tokenRequest } from '../requests.ts'
import type { Row, Scenario } from '../scenario.ts'
import { milliseconds, number } from '../text.ts'
import type { World } from '../world.ts'

/** Clients that all start at once and repeat their requests (load/cold-clients.ts). */
export interface ColdClients {
  readonly origin: string
  /** One for each client. */
  readonly requests: readonly PreparedRequest[]
  readonly timeoutSeconds: number
}

export interface ColdClientsResult {
  readonly durationSeconds: number
  /** The number of clients that got a token. */
  readonly served: number
  /** The number of answers by status; status 0 stands for no answer. */
  readonly statuses: Readonly<Record<string, number>>
}

/** Clients without a tag are only measured for comparison, so there are fewer. */
const untaggedShare = 0.04

export const cold: Scenario = {
  name: 'cold',
  question: 'Does every client get its token when all come at once, after a restart?',
  async run(world) {
    const count = world.plan.coldClients
    world.say(`making ${number(count)} real hashes`)
    const tagged = await world.database()
    const clients = await registerClients(tagged.client, count, 'real')
    await storeTags(tagged, clients)
    const rows = [await coldRow(world, tagged, clients, 'with tags', 60)]
    const untagged = await world.database()
    const few = await registerClients(untagged.client, Math.ceil(count * untaggedShare), 'real', 'new')
    const hashMilliseconds = await medianHashMilliseconds()
    // The default of the service: one core stays free.
    const parallel = Math.min(4, Math.max(1, availableParallelism() - 1))
    const hashSeconds = (few.length * hashMilliseconds) / 1_000 / parallel
    const row = await coldRow(world, untagged, few, 'without tags', 60 + hashSeconds * 4)
    rows.push({
      ...row,
      beside: `their hashes alone: ${hashSeconds.toFixed(1)} s`,
      note: `First uses: each costs one hash, ${milliseconds(hashMilliseconds)} here, ${parallel} at a time. ${row.note}`,
    })
    return rows
  },
}

/** What a service or a command leaves when it has the secret and the key-encryption key at hand. */
async function storeTags(database: BenchDatabase, clients: readonly Credentials[]): Promise<void> {
  const { rows } = await database.client.query<{ client_id: string; secret_id: string; hash: string }>(
    'SELECT client_id, secret_id, hash FROM client_secret',
  )
  const secrets = new Map(clients.map(({ clientId, secret }) => [clientId, secret]))
  const kek = keyEncryptionKey(sealingKey)
  const key = tagKey(kek)
  const tags = rows.map(({ client_id: clientId, secret_id: secretId, hash }) => {
    const secret = secrets.get(clientId) ?? ''
    return Buffer.from(makeTag(key, kek.id, { clientId, secretId, hash }, secret).bytes, 'latin1')
  })
  await database.client.query(
    `INSERT INTO client_secret_tag (secret_id, key_encryption_key_id, tag, seal)
     SELECT id, $2, tag, seal FROM unnest($1::text[], $3::bytea[], $4::bytea[]) AS t (id, tag, seal)`,
    [
      rows.map(({ secret_id: secretId }) => secretId),
      kek.id,
      tags.map((tag) => tag.subarray(0, 32)),
      tags.map((tag) => tag.subarray(32)),
    ],
  )
}

async function coldRow(
  world: World,
  database: BenchDatabase,
  clients: readonly Credentials[],
  how: 'with tags' | 'without tags',
  timeoutSeconds: number,
): Promise<Row & { note: string }> {
  // The first start creates a signing key, by which the service knows how tags are made.
  await (await world.service({ database })).stop()
  const service = await world.service({ database })
  world.say(`${number(clients.length)} clients ${how} start`)
  const result = await runColdClients(world, {
    origin: service.origin,
    requests: clients.map((client) => tokenRequest(client)),
    timeoutSeconds,
  })
  const answers = Object.entries(result.statuses).map(([status, times]) =>
    status === '0' ? `${times} without an answer` : `${times} × ${status}`,
  )
  const isRestart = how === 'with tags'
  return {
    what: `${number(clients.length)} clients from cold, all at once, ${how}`,
    measured: `${number(result.served)} served, in ${result.durationSeconds.toFixed(1)} s`,
    target: isRestart
      ? { name: 'coldSeconds', value: result.served === clients.length ? result.durationSeconds : Number.NaN }
      : { name: 'coldServed', value: result.served / clients.length },
    note:
      'Real hashes. A client that is refused waits as long as Retry-After says and a random while more, which doubles ' +
      `up to 10 s. Answers: ${answers.join(', ')}.`,
  }
}

async function runColdClients(world: World, load: ColdClients): Promise<ColdClientsResult> {
  const own = mkdtempSync(join(world.directory, 'load-'))
  const path = join(own, 'load.json')
  writeFileSync(path, JSON.stringify(load))
  try {
    return await runFile<ColdClientsResult>('load/cold-clients.ts', [path])
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

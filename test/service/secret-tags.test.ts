/**
 * A verified secret is never cold again, on any process that has the key-encryption key. A guess costs no hash. A tag
 * that somebody spoiled costs one, and locks nobody out.
 *
 * Long because each way to spoil a tag is a case of its own.
 */
import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../../src/administration/create-client.ts'
import type { ClientDefinition } from '../../src/administration/definition.ts'
import { addSecret } from '../../src/administration/secret-store.ts'
import { secretIdOf } from '../../src/authentication/secret.ts'
import { generateSecret, type NewSecret } from '../../src/authentication/secret-hash.ts'
import { makeTag, tagKey } from '../../src/authentication/secret-tag.ts'
import { countTagsOfOtherKeys, openTagMaker } from '../../src/authentication/secret-tag-store.ts'
import { openDatabase } from '../../src/database/open.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import {
  orders,
  registerClient,
  registerResources,
  requestToken,
  requestTokenPatiently,
  startService,
  type TestClient,
  type TestService,
  testKey,
  unknownSecret,
} from '../support/service.ts'

const kek = keyEncryptionKey(testKey)

let database: FreshDatabase
let running: TestService

beforeAll(async () => {
  database = await freshDatabase()
  running = await startService({ database })
})

afterAll(async () => {
  await running.close()
  await database.drop()
})

interface TagRow {
  readonly secret_id: string
  readonly key_encryption_key_id: string
  readonly tag: Buffer
  readonly seal: Buffer
}

/** The tag of a secret, once it is written. */
async function tagOf(secretId: string): Promise<TagRow> {
  for (;;) {
    const [row] = await database.query<TagRow>('SELECT * FROM client_secret_tag WHERE secret_id = $1', [
      secretId,
    ])
    if (row !== undefined) return row
    await sleep(20)
  }
}

/** A client with a tag: it got a token once. */
async function warmClient(): Promise<TestClient> {
  const client = await registerClient(database)
  expect((await requestTokenPatiently(running.url, client)).status).toBe(200)
  await tagOf(client.secretId)
  return client
}

/** The hash of a secret that was thrown away. */
const lostHash = generateSecret().then(({ hash }) => hash)

/** Stores a hash that no secret has, and a tag for it: whoever hashes refuses, and whoever reads the tag does not. */
async function trustTagAlone({ clientId, secretId, secret }: TestClient, key = kek): Promise<void> {
  const hash = await lostHash
  await database.query('UPDATE client_secret SET hash = $2 WHERE secret_id = $1', [secretId, hash])
  await storeTag(secretId, key.id, makeTag(tagKey(key), key.id, { clientId, secretId, hash }, secret).bytes)
}

async function storeTag(secretId: string, keyId: string, bytes: string): Promise<void> {
  const both = Buffer.from(bytes, 'latin1')
  await database.query(
    `INSERT INTO client_secret_tag (secret_id, key_encryption_key_id, tag, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT (secret_id) DO UPDATE SET key_encryption_key_id = $2, tag = $3, seal = $4`,
    [secretId, keyId, both.subarray(0, 32), both.subarray(32)],
  )
}

/** A process that started just now, and knows nobody. */
async function afterRestart(check: (url: string) => Promise<void>, key = testKey): Promise<void> {
  const fresh = await startService({ database, key })
  try {
    await check(fresh.url)
  } finally {
    await fresh.close()
  }
}

const status = async (url: string, client: Pick<TestClient, 'clientId' | 'secret'>): Promise<number> =>
  (await requestTokenPatiently(url, client)).status

/** A well-formed secret with an id that a client has, and nothing else of it. */
async function withIdOf({ secretId }: TestClient): Promise<string> {
  const { crc32 } = await import('node:zlib')
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  const body = `mm_${secretId}${unknownSecret().slice(11, 54)}`
  let rest = crc32(body)
  let checksum = ''
  while (checksum.length < 6) {
    checksum = digits.charAt(rest % 62) + checksum
    rest = Math.floor(rest / 62)
  }
  return body + checksum
}

describe('a verified secret', () => {
  test('leaves a tag, which is no change of the registry', async () => {
    const client = await registerClient(database)
    const version = async () => (await database.query('SELECT version FROM registry_version'))[0]
    const before = await version()
    expect(await status(running.url, client)).toBe(200)
    const row = await tagOf(client.secretId)
    expect(row.key_encryption_key_id).toBe(kek.id)
    expect(await version()).toEqual(before)
  })

  test('is right by its tag alone after a restart: nothing is hashed', async () => {
    const client = await registerClient(database)
    await trustTagAlone(client)
    await afterRestart(async (url) => {
      expect(await status(url, client)).toBe(200)
      expect(await status(url, { ...client, secret: await withIdOf(client) })).toBe(401)
    })
  })

  test('two hundred of them are served at once after a restart, and none waits for a hash', async () => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => registerClient(database)))
    for (const client of clients) await trustTagAlone(client)
    await afterRestart(async (url) => {
      const statuses = await Promise.all(clients.map((client) => status(url, client)))
      expect(new Set(statuses)).toEqual(new Set([200]))
    })
  })

  test('that was revoked is refused as revoked, by its tag', async () => {
    const client = await warmClient()
    await database.query('UPDATE client_secret SET revoked_at = now() WHERE secret_id = $1', [
      client.secretId,
    ])
    await afterRestart(async (url) => {
      expect(await status(url, client)).toBe(401)
    })
    const [record] = await database.query(
      `SELECT reason, credential_id FROM audit_record WHERE type = 'token' AND client_id = $1 ORDER BY time DESC, seq DESC LIMIT 1`,
      [client.clientId],
    )
    expect(record).toEqual({ reason: 'secret_revoked', credential_id: client.secretId })
  })
})

describe('a secret that is created where the key-encryption key is at hand', () => {
  const actor = { by: 'tester', host: 'here' }
  const client = (clientId: string): ClientDefinition => ({
    clientId,
    name: clientId,
    tokenEndpointAuthMethod: 'client_secret_basic',
    allowedNetworks: [],
    expiresAt: undefined,
    status: 'active',
    access: [{ audience: orders, scopes: ['orders:read'] }],
    keys: undefined,
    assertionAudience: 'issuer',
    dpopBoundTokens: false,
  })

  test('has its tag before its first use: with a client, and with one more secret', async () => {
    await registerResources(database)
    const opened = openDatabase(database.url)
    try {
      const tagMaker = await openTagMaker(opened.prisma, [kek])
      const context = { database: opened, clock: systemClock, actor, tagMaker }
      const first = (await createClient(context, client('tagged'))) as NewSecret
      const { secret: second } = await addSecret(context, 'tagged')
      for (const { secretId, secret } of [first, second]) {
        expect((await tagOf(secretId)).key_encryption_key_id).toBe(kek.id)
        // Whoever hashes refuses it now.
        await trustTagAlone({ clientId: 'tagged', secretId, secret })
        expect(await status(running.url, { clientId: 'tagged', secret })).toBe(200)
      }
      expect(await countTagsOfOtherKeys(opened.prisma, 'another')).toBeGreaterThan(1)
      const ofOthers = await countTagsOfOtherKeys(opened.prisma, kek.id)
      await database.query(
        `UPDATE client_secret_tag SET key_encryption_key_id = 'old' WHERE secret_id = $1`,
        [first.secretId],
      )
      expect(await countTagsOfOtherKeys(opened.prisma, kek.id)).toBe(ofOthers + 1)
    } finally {
      await opened.close()
    }
  })

  test('has none where another key seals the signing keys, or no key is there', async () => {
    const opened = openDatabase(database.url)
    try {
      expect(await openTagMaker(opened.prisma, undefined)).toBeUndefined()
      expect(await openTagMaker(opened.prisma, [keyEncryptionKey(randomBytes(32))])).toBeUndefined()
      const context = { database: opened, clock: systemClock, actor, tagMaker: undefined }
      const { secretId, secret } = (await createClient(context, client('untagged'))) as NewSecret
      expect(
        await database.query('SELECT 1 FROM client_secret_tag WHERE secret_id = $1', [secretId]),
      ).toEqual([])
      expect(await status(running.url, { clientId: 'untagged', secret })).toBe(200)
    } finally {
      await opened.close()
    }
  })
})

describe('a tag that cannot be believed', () => {
  /** Serves the holder of the secret by a hash, refuses everybody else, and is replaced by a good one. */
  async function expectNoHarm(client: TestClient): Promise<void> {
    const spoiled = await tagOf(client.secretId)
    await afterRestart(async (url) => {
      expect(await status(url, { ...client, secret: await withIdOf(client) })).toBe(401)
      expect(await status(url, client)).toBe(200)
    })
    const renewed = await tagOf(client.secretId)
    expect(renewed.key_encryption_key_id).toBe(kek.id)
    expect(Buffer.concat([renewed.tag, renewed.seal])).not.toEqual(Buffer.concat([spoiled.tag, spoiled.seal]))
  }

  test('because a bit of it was changed', async () => {
    const client = await warmClient()
    await database.query(
      `UPDATE client_secret_tag SET tag = set_byte(tag, 3, get_byte(tag, 3) # 1) WHERE secret_id = $1`,
      [client.secretId],
    )
    await expectNoHarm(client)
  })

  test('because it is too short', async () => {
    const client = await warmClient()
    await database.query(`UPDATE client_secret_tag SET seal = '\\x00' WHERE secret_id = $1`, [
      client.secretId,
    ])
    await expectNoHarm(client)
  })

  test('because it belongs to another client', async () => {
    const [client, other] = [await warmClient(), await warmClient()]
    await database.query(
      `UPDATE client_secret_tag t SET tag = o.tag, seal = o.seal FROM client_secret_tag o
        WHERE t.secret_id = $1 AND o.secret_id = $2`,
      [client.secretId, other.secretId],
    )
    await expectNoHarm(client)
    expect(await status(running.url, { ...client, secret: other.secret })).toBe(401)
  })

  test('because the hash was replaced since: the old secret opens nothing, the new one is hashed', async () => {
    const client = await warmClient()
    const hash = await lostHash
    await database.query('UPDATE client_secret SET hash = $2 WHERE secret_id = $1', [client.secretId, hash])
    await afterRestart(async (url) => {
      expect(await status(url, client)).toBe(401)
    })
  })

  test('because its key-encryption key is gone', async () => {
    const client = await warmClient()
    const gone = keyEncryptionKey(randomBytes(32))
    const [row] = await database.query<{ hash: string }>(
      'SELECT hash FROM client_secret WHERE secret_id = $1',
      [client.secretId],
    )
    const tagged = { ...client, hash: row?.hash ?? '' }
    await storeTag(client.secretId, gone.id, makeTag(tagKey(gone), gone.id, tagged, client.secret).bytes)
    await expectNoHarm(client)
  })
})

describe('a guess', () => {
  test('with a right id does not lock out who has the right secret, on a warm process and on a cold one', async () => {
    const client = await warmClient()
    for (const times of [1, 2]) {
      const guesses = await Promise.all(
        Array.from({ length: 60 }, async () =>
          status(running.url, { ...client, secret: await withIdOf(client) }),
        ),
      )
      expect(new Set(guesses), `round ${times}`).toEqual(times === 1 ? new Set([401, 429]) : new Set([429]))
      expect(await status(running.url, client)).toBe(200)
    }
    await afterRestart(async (url) => {
      await Promise.all(
        Array.from({ length: 60 }, async () => status(url, { ...client, secret: await withIdOf(client) })),
      )
      expect(await status(url, client)).toBe(200)
    })
  })

  test('that used up a client’s failures does not keep its new secret from a token', async () => {
    const client = await registerClient(database)
    const guess = () => ({ ...client, secret: unknownSecret() })
    const guesses: number[] = []
    for (let index = 0; index < 40; index += 1) guesses.push(await status(running.url, guess()))
    expect(guesses.at(-1)).toBe(429)
    const { secretId, secret, hash, hint } = await generateSecret()
    await database.query(
      'INSERT INTO client_secret (secret_id, client_id, hash, hint) VALUES ($1, $2, $3, $4)',
      [secretId, client.clientId, hash, hint],
    )
    expect(await status(running.url, { clientId: client.clientId, secret })).toBe(200)
  })

  test('is refused for the same reasons as before, told apart in the ledger alone', async () => {
    const disabled = await registerClient(database)
    const bare = await registerClient(database)
    const known = await registerClient(database)
    await database.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [disabled.clientId])
    await database.query('DELETE FROM client_secret WHERE client_id = $1', [bare.clientId])
    const fresh = await startService({ database })
    try {
      const expected = [
        [disabled.clientId, 'client_disabled'],
        [bare.clientId, 'client_has_no_secret'],
        [known.clientId, 'secret_wrong'],
        ['nobody', 'client_unknown'],
        // Such an id could be registered, and looks like no credential.
        ['nobody.at.all', 'client_unknown'],
      ] as const
      const answers = new Set<string>()
      for (const [clientId, reason] of expected) {
        const secret = unknownSecret()
        const secretId = secretIdOf(secret)
        const response = await requestToken(fresh.url, { clientId, secret })
        answers.add(`${response.status} ${await response.text()}`)
        const [record] = await database.query(
          `SELECT reason, credential_id FROM audit_record WHERE type = 'token' AND client_id = $1 ORDER BY time DESC LIMIT 1`,
          [clientId],
        )
        expect(record).toEqual({ reason, credential_id: secretId })
      }
      expect(answers.size).toBe(1)
    } finally {
      await fresh.close()
    }
  })
})

describe('somebody with a copy of the database', () => {
  test('has nothing that opens anything: not what stands there, and not what can be made from it', async () => {
    const client = await warmClient()
    const rows = await database.query<Record<string, unknown>>(
      `SELECT s.*, t.key_encryption_key_id, encode(t.tag, 'hex') AS tag_hex, encode(t.seal, 'hex') AS seal_hex,
              encode(t.tag, 'base64') AS tag_base64
         FROM client_secret s JOIN client_secret_tag t USING (secret_id) WHERE s.secret_id = $1`,
      [client.secretId],
    )
    const known = Object.values(rows[0] ?? {}).filter((value) => typeof value === 'string')
    expect(known.length).toBeGreaterThan(5)
    // Whatever stands there, presented as the secret.
    for (const secret of known) expect(await status(running.url, { ...client, secret })).not.toBe(200)
    // A tag of one's own, under every key that can be guessed from what stands there.
    const secret = await withIdOf(client)
    const hash = String(rows[0]?.['hash'])
    for (const guess of ['', kek.id, hash, String(rows[0]?.['tag_hex']), 'mintmark/secret-tag/v1']) {
      const derived = Buffer.from(hkdfSync('sha256', guess, Buffer.alloc(0), 'mintmark/secret-tag/v1', 32))
      const mac = (fields: readonly (string | Buffer)[]) => {
        const hmac = createHmac('sha256', derived)
        for (const field of fields) {
          const bytes = Buffer.from(field as string)
          const length = Buffer.alloc(4)
          length.writeUInt32BE(bytes.length)
          hmac.update(length).update(bytes)
        }
        return hmac.digest()
      }
      const tag = mac(['tag', client.clientId, client.secretId, hash, secret])
      const seal = mac(['row', client.clientId, client.secretId, hash, tag])
      await storeTag(client.secretId, kek.id, Buffer.concat([tag, seal]).toString('latin1'))
      await afterRestart(async (url) => {
        expect(await status(url, { ...client, secret })).toBe(401)
        expect(await status(url, client)).toBe(200)
      })
    }
  })
})

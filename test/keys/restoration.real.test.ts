/** What a failover or an older backup takes away of the keys, and what a process that knew it writes back. */
import { expect } from 'vitest'
import { abandonKeys } from '../../src/keys/abandonment.ts'
import { restoreKeys } from '../../src/keys/restoration.ts'
import { revokeKey } from '../../src/keys/revocation.ts'
import { makeDueKeys, rotate } from '../../src/keys/rotation.ts'
import { listKeys } from '../../src/keys/store.ts'
import type { FreshDatabase } from '../support/database.ts'
import { keyringOf, kidIn, kidsOf, test, tokenOf, usual } from '../support/rotation.ts'
import { registerClient } from '../support/service.ts'

/** The keys as they are. What is called later puts them back, as a failover that loses what came between. */
async function remember(database: FreshDatabase): Promise<() => Promise<void>> {
  const tables = ['signing_key', 'signing_key_manifest'] as const
  const copies = await Promise.all(
    tables.map((table) =>
      database.query<{ rows: string }>(`SELECT json_agg(t)::text AS rows FROM ${table} t`),
    ),
  )
  return async () => {
    for (const [index, table] of tables.entries()) {
      await database.query(`DELETE FROM ${table}`)
      await database.query(`INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1)`, [
        copies[index]?.[0]?.rows,
      ])
    }
  }
}

const outcomes = (database: FreshDatabase) =>
  database.query(
    `SELECT outcome, kid FROM audit_record WHERE type = 'key' AND outcome IN ('restored', 'revoked') ORDER BY chain, seq`,
  )

test('a key that signs and was lost is written back once, and every process has it', async ({
  database,
  context,
}) => {
  const rotation = context()
  await makeDueKeys(rotation, ['ES256'])
  const lose = await remember(database)
  const { kid } = await rotate(rotation, 'ES256', 'now')
  const [keyring, other] = [keyringOf(rotation), keyringOf(rotation)]
  await Promise.all([keyring.load(), other.load()])
  expect(keyring.lost).toBeUndefined()
  await lose()
  await Promise.all([keyring.load(), other.load()])
  const restored = await Promise.all(
    [keyring, other].map(({ lost }) => restoreKeys(rotation, lost ?? { number: 0, keys: [] })),
  )
  expect(restored.toSorted()).toEqual([[], [kid]])
  const fresh = keyringOf(rotation)
  const now = rotation.clock.nowSeconds()
  for (const each of [keyring, other, fresh]) {
    await each.load()
    expect(each.signer('ES256', now)?.kid).toBe(kid)
    expect([each.lost, each.incomplete, each.problems]).toEqual([undefined, false, []])
  }
  expect(await outcomes(database)).toEqual([{ outcome: 'restored', kid }])
})

test('it is written back beside a key of its generation that was made since, and signs until then', async ({
  database,
  context,
}) => {
  const rotation = context()
  await makeDueKeys(rotation, ['ES256'])
  const lose = await remember(database)
  const { kid } = await rotate(rotation, 'ES256', 'now')
  const keyring = keyringOf(rotation)
  await keyring.load()
  await lose()
  const since = [await rotate(rotation, 'ES256', 'lead'), await rotate(rotation, 'ES256', 'now')]
  const now = rotation.clock.nowSeconds()
  await keyring.load()
  // Its manifest is newer than the one that is known.
  expect(keyring.incomplete).toBe(false)
  expect(keyring.published(now).kids).toContain(kid)
  expect(await restoreKeys(rotation, keyring.lost ?? { number: 0, keys: [] })).toEqual([kid])
  await keyring.load()
  expect(keyring.lost).toBeUndefined()
  expect(keyring.published(now).kids).toEqual(expect.arrayContaining([kid, since[0]?.kid]))
  const generations = (await listKeys(rotation.database.prisma)).map(({ generation }) => generation)
  expect(generations).toEqual([1, 2, 3])
})

test('a revocation and an early turn that were lost come back', async ({ database, context }) => {
  const rotation = context()
  await makeDueKeys(rotation, ['ES256', 'EdDSA'])
  const [first] = await listKeys(rotation.database.prisma)
  await rotate(rotation, 'EdDSA', 'lead')
  const lose = await remember(database)
  await rotate(rotation, 'EdDSA', 'now')
  await revokeKey(rotation, String(first?.kid))
  const keyring = keyringOf(rotation)
  await keyring.load()
  const known = await listKeys(rotation.database.prisma)
  await lose()
  await keyring.load()
  await restoreKeys(rotation, keyring.lost ?? { number: 0, keys: [] })
  expect((await listKeys(rotation.database.prisma)).map(({ keyEncryptionKeyId: _, ...key }) => key)).toEqual(
    known.map(({ keyEncryptionKeyId: _, ...key }) => key),
  )
  await keyring.load()
  expect([keyring.lost, keyring.incomplete, keyring.problems]).toEqual([undefined, false, []])
})

test('a key whose row was deleted, and a manifest that is gone, are not written back', async ({
  database,
  context,
}) => {
  const rotation = context()
  await makeDueKeys(rotation, ['ES256'])
  const { kid } = await rotate(rotation, 'ES256', 'now')
  const keyring = keyringOf(rotation)
  await keyring.load()
  await database.query('DELETE FROM signing_key WHERE kid = $1', [kid])
  await keyring.load()
  expect(keyring.lost).toBeUndefined()
  await database.query('DELETE FROM signing_key_manifest')
  await keyring.load()
  expect(keyring.lost).toBeUndefined()
  expect(await restoreKeys(rotation, { number: 9, keys: [] })).toEqual([])
  expect(await outcomes(database)).toEqual([])
})

test('keys that were abandoned end in a process that has the other key-encryption key from its file, and stay so', async ({
  context,
}) => {
  const before = context()
  await makeDueKeys(before, ['ES256'])
  const after = context(usual, Buffer.alloc(32, 7))
  let current = before
  const keyring = keyringOf({ ...before, keyEncryptionKeys: async () => await current.keyEncryptionKeys() })
  await keyring.load()
  const { abandoned, made } = await abandonKeys(after)
  current = after
  await keyring.load()
  expect(keyring.lost).toBeUndefined()
  const now = after.clock.nowSeconds()
  expect(keyring.published(now).kids).not.toContain(abandoned[0]?.kid)
  expect(keyring.signer('ES256', now)?.kid).toBe(made[0]?.kid)
})

test('two services heal without a restart, and one that starts has the key whose tokens are in use', async ({
  database,
  context,
  start,
}) => {
  const client = await registerClient(database)
  const first = await start()
  const second = await start()
  const lose = await remember(database)
  const { kid } = await rotate(context(usual), 'ES256', 'now')
  for (const { url } of [first, second]) {
    await expect.poll(async () => kidIn(await tokenOf(url, client)), { interval: 100 }).toBe(kid)
  }
  await lose()
  await expect
    .poll(async () => await database.query('SELECT 1 FROM signing_key WHERE kid = $1', [kid]), {
      interval: 100,
      timeout: 10_000,
    })
    .toHaveLength(1)
  const third = await start()
  for (const { url } of [first, second, third]) {
    expect(kidIn(await tokenOf(url, client))).toBe(kid)
    expect(await kidsOf(url)).toContain(kid)
  }
  await expect
    .poll(async () => await (await fetch(`${first.url}/readyz`)).json(), { interval: 100 })
    .toMatchObject({ warnings: [] })
  expect(`${first.log()}${second.log()}`).toContain('"event":"keys_restored"')
})

import { generateKeyPairSync } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { RotationContext } from '../../src/keys/key-change.ts'
import { readVouchedKeys } from '../../src/keys/manifest-store.ts'
import { revokeKey } from '../../src/keys/revocation.ts'
import { rewrap } from '../../src/keys/rewrap.ts'
import { makeDueKeys, rotate } from '../../src/keys/rotation.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { signingKeyAt } from '../../src/keys/state.ts'
import { listKeys } from '../../src/keys/store.ts'
import { command } from '../support/command.ts'
import { generations, jwks, kidIn, kidsOf, test, tokenOf, usual } from '../support/rotation.ts'
import { registerClient, requestToken, testKey } from '../support/service.ts'
import { until } from '../support/wait.ts'

/** Somebody can write the database and has no key-encryption key: no key of theirs is ever published, and tokens go on. */

/** The public part of a key that is not ours, as members for a JWK. */
function foreignPoint(): string {
  const { x, y } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  return JSON.stringify({ x, y })
}

const otherKeys = [keyEncryptionKey(Buffer.alloc(32, 9)), keyEncryptionKey(testKey)] as const

test('an altered public key is not published, and a rewrap refuses instead of vouching for it', async ({
  context,
  database,
  start,
}) => {
  const { url, log } = await start()
  const client = await registerClient(database)
  const old = String(kidIn(await tokenOf(url, client)))
  await rotate(context(), 'ES256', 'now')
  await until(async () => (await kidsOf(url)).length === 2)
  const published = async () =>
    (await jwks(url)).keys.toSorted((one, other) => String(one.kid).localeCompare(String(other.kid)))
  const before = await published()
  expect(before.map(({ kid }) => kid)).toContain(old)
  await database.query('UPDATE signing_key SET public_jwk = public_jwk || $1::jsonb WHERE kid = $2', [
    foreignPoint(),
    old,
  ])
  await until(() => log().includes(' key_altered'))
  expect(await published(), 'as this process read them').toEqual(before)
  await expect(rewrap(context(), [...otherKeys])).rejects.toMatchObject({ code: 'signing_key_altered' })
  expect(await published()).toEqual(before)
  await tokenOf(url, client)
})

test('a revoked key stays revoked, whatever its row says and whoever seals it anew', async ({
  context,
  database,
  start,
}) => {
  const { url } = await start()
  const client = await registerClient(database)
  const revoked = String(kidIn(await tokenOf(url, client)))
  await revokeKey(context(), revoked)
  await until(async () => !(await kidsOf(url)).includes(revoked))
  await database.query('UPDATE signing_key SET revoked_at = NULL WHERE kid = $1', [revoked])
  await rewrap(context(), [...otherKeys])
  const { keys } = await readVouchedKeys(context().database.prisma, otherKeys)
  expect(keys.find(({ kid }) => kid === revoked)?.revokedAt).toBeDefined()
  expect(await kidsOf(url)).not.toContain(revoked)
})

test('moments that were altered are not taken over by a rewrap', async ({ context, database, start }) => {
  const { url } = await start()
  const [kid] = await kidsOf(url)
  await database.query(
    `UPDATE signing_key SET published_until = published_until + interval '9 years' WHERE kid = $1`,
    [kid],
  )
  await expect(rewrap(context(), [...otherKeys])).rejects.toMatchObject({ code: 'signing_key_altered' })
})

test('a trigger that puts another public key into a new row ends the rotation, and publishes nothing', async ({
  context,
  database,
  start,
}) => {
  const { url } = await start()
  const client = await registerClient(database)
  const before = await jwks(url)
  await database.query(`CREATE FUNCTION foreign_point() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.public_jwk := NEW.public_jwk || '${foreignPoint()}'; RETURN NEW; END $$`)
  await database.query(
    'CREATE TRIGGER foreign_point BEFORE INSERT ON signing_key FOR EACH ROW EXECUTE FUNCTION foreign_point()',
  )
  await expect(rotate(context(), 'ES256', 'now')).rejects.toMatchObject({ code: 'signing_key_damaged' })
  expect(await jwks(url)).toEqual(before)
  await tokenOf(url, client)
})

test('rows that nobody vouched for hinder neither tokens nor a rotation nor a revocation', async ({
  context,
  database,
  start,
}) => {
  const { url } = await start()
  const client = await registerClient(database)
  const signing = String(kidIn(await tokenOf(url, client)))
  await database.query(
    `INSERT INTO signing_key (kid, algorithm, generation, public_jwk, sealed_private_key, key_encryption_key_id,
                              published_at, signs_from, signs_until, published_until)
     SELECT 'foreign-' || n, 'ES256', n, CASE n WHEN 2 THEN 'null'::jsonb ELSE public_jwk END, sealed_private_key,
            key_encryption_key_id, published_at, signs_from, signs_until, published_until
       FROM signing_key, unnest('{2,2147483647}'::int[]) AS n WHERE generation = 1`,
  )
  await tokenOf(url, client)
  const rotated = await rotate(context(), 'ES256', 'now')
  expect(rotated.generation).toBe(3)
  expect(kidIn(await tokenOf(url, client))).toBe(rotated.kid)
  expect((await revokeKey(context(), signing)).revoked).toBe(true)
  await expect.poll(() => kidsOf(url)).toEqual([rotated.kid])
})

test('commands show what may be believed, and say what is wrong with each row', async ({
  context,
  database,
  run,
  start,
}) => {
  await start()
  const old = context()
  const [first] = (await readVouchedKeys(old.database.prisma, otherKeys)).keys
  const altered = await rotate(old, 'ES256', 'now')
  const undone = await rotate(old, 'ES256', 'now')
  const missing = await rotate(old, 'ES256', 'now')
  await revokeKey(old, undone.kid)
  await database.query(`UPDATE signing_key SET published_until = 'infinity' WHERE kid = $1`, [altered.kid])
  await database.query('UPDATE signing_key SET revoked_at = NULL WHERE kid = $1', [undone.kid])
  await database.query('DELETE FROM signing_key WHERE kid = $1', [missing.kid])
  await database.query(
    `INSERT INTO signing_key (kid, algorithm, generation, public_jwk, sealed_private_key, key_encryption_key_id,
                              published_at, signs_from, signs_until, published_until)
     VALUES ('foreign', 'ES256', 99, 'null', '', 'x', '-infinity', '-infinity', 'infinity', 'infinity')`,
  )
  const environment = { DATABASE_URL: database.url, MINTMARK_KEY_ENCRYPTION_KEY: testKey.toString('base64') }
  const keys = (...given: string[]) => command(environment, 'keys', ...given)
  const listed = async () => {
    const { stdout } = await keys('list', '--json')
    const all = JSON.parse(stdout) as { keys: { kid: string; state: string; vouched: boolean | null }[] }
    return new Map(all.keys.map((key) => [key.kid, `${key.state} ${key.vouched}`]))
  }
  expect(await listed()).toEqual(
    new Map([
      [first?.kid, 'signing true'],
      [undone.kid, 'revocation undone true'],
      [altered.kid, 'altered false'],
      ['foreign', 'unvouched false'],
      [missing.kid, 'missing false'],
    ]),
  )
  const { stdout, stderr, code } = await keys('list')
  expect(code).toBe(0)
  expect(stdout).not.toMatch(/ES256 99/)
  for (const kid of [undone.kid, altered.kid, 'foreign', missing.kid]) expect(stderr).toContain(`${kid}: `)
  // Without the key, rows are shown as they stand, and it is said.
  const raw = await run('keys', 'list')
  expect(raw).toMatchObject({ code: 0 })
  expect(raw.stderr).toContain('unverified')
  // Nothing is planned on a foreign row.
  expect((await keys('rotate', '--plan')).stdout).toMatch(/generation 4/)

  const again = JSON.parse((await keys('revoke', undone.kid, '--json')).stdout) as { changed: boolean }
  expect(again.changed).toBe(true)
  expect((await listed()).get(undone.kid)).toBe('revoked true')
  const [row] = await database.query('SELECT revoked_at FROM signing_key WHERE kid = $1', [undone.kid])
  expect(row).toEqual({ revoked_at: expect.any(Date) })
  // A row with any values can be revoked, and nothing of it is taken over.
  expect((await revokeKey(old, altered.kid)).revoked).toBe(true)
  expect((await revokeKey(old, 'foreign')).revoked).toBe(true)
})

describe('after a revocation by hand the next key takes over, whatever changes keys first', () => {
  test.for<[string, (context: RotationContext, other: string, revoked: string) => Promise<unknown>]>([
    ['a check for due keys', (context) => makeDueKeys(context, [])],
    ['a rotation of another algorithm', (context) => rotate(context, 'EdDSA', 'now')],
    ['a revocation of another key', (context, other) => revokeKey(context, other)],
    ['a revocation of the same key', (context, _, revoked) => revokeKey(context, revoked)],
    ['a rewrap', (context) => rewrap(context, otherKeys)],
  ])('%s', async ([, change], { context, database }) => {
    const own = context()
    await makeDueKeys(own, ['ES256', 'EdDSA'])
    const { kid: next } = await rotate(own, 'ES256', 'lead')
    const before = await listKeys(own.database.prisma)
    const [signing = '', other = ''] = (['ES256', 'EdDSA'] as const).map(
      (algorithm) => before.find((key) => key.algorithm === algorithm && key.generation === 1)?.kid,
    )
    await database.query('UPDATE signing_key SET revoked_at = now() WHERE kid = $1', [signing])
    await change(own, other, signing)
    const { keys } = await readVouchedKeys(own.database.prisma, otherKeys)
    const alike = keys.filter(({ algorithm }) => algorithm === 'ES256')
    expect(signingKeyAt(alike, usual, own.clock.nowSeconds())?.kid).toBe(next)
  })

  test('one key is created for an algorithm, also if several were revoked together', async ({
    context,
    database,
  }) => {
    const own = context()
    await makeDueKeys(own, ['ES256'])
    await rotate(own, 'ES256', 'now')
    await rotate(own, 'ES256', 'lead')
    await database.query('UPDATE signing_key SET revoked_at = now()')
    await makeDueKeys(own, ['ES256'])
    expect(await generations(database)).toEqual([1, 2, 3, 4])
    const { keys } = await readVouchedKeys(own.database.prisma, otherKeys)
    expect(signingKeyAt(keys, usual, own.clock.nowSeconds())?.generation).toBe(4)
  })
})

test('a revocation that nobody confirms is none', async ({ database, run, start }) => {
  const { url } = await start()
  const [kid = ''] = await kidsOf(url)
  const outcome = await run('keys', 'revoke', kid)
  expect(outcome).toMatchObject({ code: 2 })
  expect(outcome.stderr).toContain('--yes')
  expect(await database.query('SELECT 1 FROM signing_key WHERE revoked_at IS NOT NULL')).toEqual([])
})

test('a start refuses a manifest that the ledger has another record of; a record that is no JSON hinders none', async ({
  context,
  database,
  start,
}) => {
  const service = await start()
  await rotate(context(), 'ES256', 'now')
  await service.close()
  await database.query(
    `INSERT INTO audit_record (chain, seq, time, type, outcome, detail, hash)
     SELECT chain, 19, now(), 'key', 'created', '{"manifest"', sha256('') FROM audit_record WHERE type = 'key'`,
  )
  await (await start()).close()
  await database.query(
    `UPDATE audit_record SET detail = regexp_replace(detail, '"manifest_hash":"..',
       '"manifest_hash":"' || CASE WHEN detail LIKE '%"manifest_hash":"00%' THEN '11' ELSE '00' END)
      WHERE type = 'key' AND detail LIKE '%"manifest_hash"%'`,
  )
  await expect(start()).rejects.toMatchObject({ code: 'key_manifest_differs' })
})

test('where the only key was deleted, a rotation at once brings tokens back', async ({
  context,
  database,
  start,
}) => {
  const { url } = await start()
  const client = await registerClient(database)
  await tokenOf(url, client)
  await database.query('DELETE FROM signing_key')
  const status = async () => (await requestToken(url, client)).status
  await expect.poll(status).toBe(503)
  await rotate(context(), 'ES256', 'now')
  await expect.poll(status).toBe(200)
})

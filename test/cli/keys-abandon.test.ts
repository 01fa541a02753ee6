import { randomBytes } from 'node:crypto'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { expect } from 'vitest'
import { command } from '../support/command.ts'
import { startServiceProcess } from '../support/process.ts'
import { jwks, kidIn, kidsOf, test, tokenOf } from '../support/rotation.ts'
import { orders, registerClient, startService } from '../support/service.ts'

/** The worst night: the key-encryption key is lost. */

const lost = randomBytes(32)
const next = randomBytes(32)

test('the lost key-encryption key: no start, a plan, a question, and then everything goes on under another', async ({
  database,
}) => {
  const client = await registerClient(database)
  const before = await startService({ database, key: lost })
  const old = await tokenOf(before.url, client)
  await before.close()
  const environment = { DATABASE_URL: database.url, MINTMARK_KEY_ENCRYPTION_KEY: next.toString('base64') }

  const started = await startServiceProcess(['serve'], { environment })
  expect((await started.outcome).code).toBe(1)
  expect(started.stderr()).toContain('"bin/mintmark keys abandon"')

  const [manifest] = await database.query<{ number: string }>('SELECT number FROM signing_key_manifest')
  const sealed = () => database.query('SELECT kid, sealed_private_key FROM signing_key WHERE generation = 1')
  const [row] = await sealed()
  const plan = await command(environment, 'keys', 'abandon', '--plan')
  expect(plan).toMatchObject({ code: 0, stdout: '' })
  expect(plan.stderr).toMatch(/DANGER: .* is abandoned/)
  expect(plan.stderr).toContain(`${kidIn(old)} (ES256)`)
  // Nobody can be asked.
  const unasked = await command(environment, 'keys', 'abandon')
  expect(unasked).toMatchObject({ code: 2 })
  expect(unasked.stderr).toContain('run it with --yes')
  expect(await database.query('SELECT kid FROM signing_key WHERE revoked_at IS NOT NULL')).toEqual([])

  const done = await command(environment, 'keys', 'abandon', '--yes', '--json')
  expect(done, done.stderr).toMatchObject({ code: 0 })
  const { abandoned, made } = JSON.parse(done.stdout)
  expect(abandoned).toMatchObject([{ kid: kidIn(old) }])
  expect(await sealed()).toEqual([row])
  const [record] = await database.query<{ kid: string; detail: string }>(
    `SELECT kid, detail FROM audit_record WHERE outcome = 'abandoned'`,
  )
  expect(record?.kid).toBe(kidIn(old))
  expect(JSON.parse(record?.detail ?? '')).toMatchObject({ manifest: Number(manifest?.number) + 1 })

  const after = await startService({ database, key: next })
  const token = await tokenOf(after.url, client)
  expect(kidIn(token)).toBe(made[0].kid)
  const keys = createRemoteJWKSet(new URL(`${after.url}/.well-known/jwks.json`))
  await jwtVerify(token, keys, { audience: orders })
  await expect(jwtVerify(old, keys, { audience: orders })).rejects.toThrow()
  expect(await kidsOf(after.url)).toEqual([made[0].kid])
  await after.close()

  const again = await command(environment, 'keys', 'abandon', '--yes')
  expect(again).toMatchObject({ code: 1 })
  expect(again.stderr).toContain('nothing is lost')
})

test('what somebody wrote beside the lost keys is not believed afterwards, and what opens stays', async ({
  database,
}) => {
  const before = await startService({ database, key: lost })
  const [old] = (await jwks(before.url)).keys
  await before.close()
  // A key of somebody else, and the one that was revoked in its place.
  await database.query(
    `INSERT INTO signing_key (kid, algorithm, generation, public_jwk, sealed_private_key, key_encryption_key_id,
                              published_at, signs_from, signs_until, published_until)
     SELECT 'foreign', algorithm, 7, public_jwk, sealed_private_key, key_encryption_key_id,
            published_at, signs_from, signs_until, published_until FROM signing_key`,
  )
  const environment = { DATABASE_URL: database.url, MINTMARK_KEY_ENCRYPTION_KEY: next.toString('base64') }
  const done = await command(environment, 'keys', 'abandon', '--yes')
  expect(done, done.stderr).toMatchObject({ code: 0 })
  await database.query('UPDATE signing_key SET revoked_at = NULL')
  const after = await startService({ database, key: next })
  const kids = await kidsOf(after.url)
  expect(kids).toHaveLength(1)
  expect(kids).not.toContain(old?.kid)
  expect(kids).not.toContain('foreign')
  await after.close()
})

test('a sealed registry is sealed anew after its key was lost, and not with any other key', async ({
  database,
}) => {
  const client = await registerClient(database)
  const environmentOf = (key: Buffer) => ({
    DATABASE_URL: database.url,
    MINTMARK_KEY_ENCRYPTION_KEY: key.toString('base64'),
    MINTMARK_SEALED_REGISTRY: 'yes',
  })
  const sealed = { MINTMARK_SEALED_REGISTRY: 'yes' }
  expect(await command(environmentOf(lost), 'registry', 'seal', '--yes')).toMatchObject({ code: 0 })
  const before = await startService({ database, key: lost, environment: sealed })
  await tokenOf(before.url, client)
  await before.close()

  const environment = environmentOf(next)
  // Somebody who took the wrong key must not seal with it.
  const wrong = await command(environment, 'registry', 'seal', '--yes')
  expect(wrong).toMatchObject({ code: 1 })
  expect(wrong.stderr).toContain('"bin/mintmark keys abandon"')
  const done = await command(environment, 'keys', 'abandon', '--yes')
  expect(done, done.stderr).toMatchObject({ code: 0 })
  expect(done.stderr).toContain('"bin/mintmark registry seal"')
  const unsealed = startService({ database, key: next, environment: sealed })
  await expect(unsealed).rejects.toMatchObject({ code: 'registry_seal_key_differs' })

  // Nobody vouches for any of it, so somebody has to look.
  const unasked = await command(environment, 'registry', 'seal')
  expect(unasked).toMatchObject({ code: 1 })
  expect(unasked.stderr).toContain('abandoned')
  expect(unasked.stderr).toContain(`client ${client.clientId}: unregistered`)
  const again = await command(environment, 'registry', 'seal', '--yes')
  expect(again, again.stderr).toMatchObject({ code: 0 })
  const after = await startService({ database, key: next, environment: sealed })
  await tokenOf(after.url, client)
  await after.close()
})

test('keys rewrap seals the registry anew where no signing key needs it', async ({ database }) => {
  const client = await registerClient(database)
  const sealed = { MINTMARK_SEALED_REGISTRY: 'yes' }
  const environment = {
    ...sealed,
    DATABASE_URL: database.url,
    MINTMARK_KEY_ENCRYPTION_KEY: lost.toString('base64'),
  }
  // The signing keys are under the new one already, and a machine that has only the old one seals the registry.
  await (await startService({ database, key: next })).close()
  expect(await command(environment, 'registry', 'seal', '--yes')).toMatchObject({ code: 0 })
  const both = {
    ...environment,
    MINTMARK_KEY_ENCRYPTION_KEY: next.toString('base64'),
    MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS: lost.toString('base64'),
  }
  const rewrapped = await command(both, 'keys', 'rewrap')
  expect(rewrapped, rewrapped.stderr).toMatchObject({ code: 0 })
  const after = await startService({ database, key: next, environment: sealed })
  await tokenOf(after.url, client)
  await after.close()
})

/** Long because each way to rotate, revoke and rewrap is a case of its own, on one kind of service. */
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { describe, expect } from 'vitest'
import { OperatorError } from '../../src/errors.ts'
import type { RotationContext } from '../../src/keys/key-change.ts'
import { writeManifest } from '../../src/keys/manifest-store.ts'
import { revokeKey } from '../../src/keys/revocation.ts'
import { rewrap } from '../../src/keys/rewrap.ts'
import { makeDueKeys, rotate } from '../../src/keys/rotation.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import type { KeyMoments } from '../../src/keys/state.ts'
import { createKey, type KeyDescription, listKeys } from '../../src/keys/store.ts'
import { listVerifiers } from '../../src/keys/verifier-store.ts'
import { sharedKey } from '../support/process.ts'
import {
  generations,
  jwks,
  kidIn,
  kidsOf,
  lead,
  shiftedClock,
  test,
  tokenOf,
  usual,
} from '../support/rotation.ts'
import { said } from '../support/said.ts'
import {
  drillSchedule,
  invoices,
  orders,
  registerClient,
  registerResources,
  requestToken,
  requestTokenPatiently,
  scheduleEnvironment,
  startService,
  testKey,
} from '../support/service.ts'
import { until } from '../support/wait.ts'

/** Rotation with real services and a real database. Rotation under load and wrong clocks are drills. */

describe('ten processes at once (F-12)', () => {
  test('that find a key due make one', async ({ context, database }) => {
    const contexts = Array.from({ length: 10 }, () => context())
    const made = await Promise.all(contexts.map((each) => makeDueKeys(each, ['ES256', 'EdDSA'])))
    expect(made.flat().map(({ algorithm, generation }) => [algorithm, generation])).toEqual([
      ['ES256', 1],
      ['EdDSA', 1],
    ])
    expect(await database.query('SELECT kid FROM signing_key')).toHaveLength(2)
  })

  test('that rotate at once make one key per generation, none missing; those that wait share one', async ({
    context,
    database,
  }) => {
    const contexts = Array.from({ length: 10 }, () => context())
    await makeDueKeys(contexts[0] as RotationContext, ['ES256'])
    await Promise.all(
      contexts.map(async (each) => {
        for (let round = 0; round < 5; round += 1) await rotate(each, 'ES256', 'now')
      }),
    )
    expect(await generations(database)).toEqual(Array.from({ length: 51 }, (_, index) => index + 1))
    const waiting = await Promise.all(contexts.map((each) => rotate(each, 'ES256', 'lead')))
    expect(new Set(waiting.map(({ kid }) => kid)).size).toBe(1)
    expect(waiting.filter(({ made }) => made)).toHaveLength(1)
    expect(await generations(database)).toHaveLength(52)
    const records = await database.query(`SELECT 1 FROM audit_record WHERE type = 'key'`)
    expect(records).toHaveLength(1 + 50 + 1)
  })
})

describe('revoking', () => {
  test('the key that signs: no token of it after the commit, soon out of every set, and on record', async ({
    context,
    database,
    start,
  }) => {
    const [first, second] = [await start(), await start()]
    const client = await registerClient(database)
    const kid = String(kidIn(await tokenOf(first.url, client)))
    let stopped = false
    const statuses: number[] = []
    const hammering = [first, second, first, second].map(async ({ url }) => {
      while (!stopped) {
        const response = await requestTokenPatiently(url, client)
        await response.arrayBuffer()
        statuses.push(response.status)
        await sleep(5)
      }
    })
    await until(() => statuses.length > 100)
    const before = Math.floor(Date.now() / 1_000)
    const revocation = await revokeKey(context(), kid)
    const gone = [first, second].map(({ url }) =>
      expect.poll(async () => await kidsOf(url)).toEqual([revocation.successor?.kid]),
    )
    await Promise.all(gone)
    const answered = statuses.length
    await until(() => statuses.length > answered + 100)
    stopped = true
    await Promise.all(hammering)
    expect(new Set(statuses)).toEqual(new Set([200]))
    const late = await database.query(
      `SELECT 1 FROM audit_record WHERE outcome = 'issued' AND kid = $1
         AND pg_xact_commit_timestamp(xmin) >
           (SELECT pg_xact_commit_timestamp(xmin) FROM registry_change_set ORDER BY version DESC LIMIT 1)`,
      [kid],
    )
    expect(late).toEqual([])
    for (const { url } of [first, second]) {
      expect(kidIn(await tokenOf(url, client))).toBe(revocation.successor?.kid)
    }
    expect(revocation.revoked).toBe(true)
    expect(revocation.refusedFrom).toBeGreaterThanOrEqual(before + lead)
    const [record] = await database.query<{ detail: string }>(
      `SELECT detail FROM audit_record WHERE type = 'key' AND outcome = 'revoked' AND kid = $1`,
      [kid],
    )
    expect(JSON.parse(String(record?.detail))).toMatchObject({
      by: 'a test',
      relying_services_refuse_from: revocation.refusedFrom,
    })
    // Nobody asked for the first one: the service made it by itself.
    const [made] = await database.query<{ detail: string }>(
      `SELECT detail FROM audit_record WHERE type = 'key' AND outcome = 'created' AND kid = $1`,
      [kid],
    )
    expect(JSON.parse(String(made?.detail))).toMatchObject({ by: 'mintmark', host: hostname() })
    // Again it changes nothing and says the same.
    expect(await revokeKey(context(), kid)).toEqual({ ...revocation, revoked: false, successor: undefined })
  })

  test('another one than the one that signs leaves that one alone; the key that waits goes first', async ({
    context,
    database,
    start,
  }) => {
    const { url } = await start()
    const client = await registerClient(database)
    const signing = kidIn(await tokenOf(url, client))
    const waiting = await rotate(context(), 'ES256', 'lead')
    const other = await revokeKey(context(), waiting.kid)
    expect(other.successor).toBeUndefined()
    expect(kidIn(await tokenOf(url, client))).toBe(signing)
    const next = await rotate(context(), 'ES256', 'lead')
    expect(next.generation).toBe(3)
    const { successor } = await revokeKey(context(), String(signing))
    expect(successor?.kid).toBe(next.kid)
    expect(kidIn(await tokenOf(url, client))).toBe(next.kid)
  })

  test('with the key before still good for long enough, that one signs until caches have seen the next', async ({
    context,
    database,
    start,
  }) => {
    const { url } = await start()
    const client = await registerClient(database)
    const first = kidIn(await tokenOf(url, client))
    const second = await rotate(context(), 'ES256', 'now')
    expect(kidIn(await tokenOf(url, client))).toBe(second.kid)
    const { successor } = await revokeKey(context(), second.kid)
    expect(successor?.moments.signsFrom).toBe((successor?.moments.publishedAt ?? 0) + lead)
    expect(kidIn(await tokenOf(url, client))).toBe(first)
  })

  test('works where the clock is wrong, which nothing else does', async ({ context, database, start }) => {
    const { url } = await start()
    const client = await registerClient(database)
    const kid = String(kidIn(await tokenOf(url, client)))
    const wrong = context(usual, testKey, shiftedClock(3_600).clock)
    expect(await said(rotate(wrong, 'ES256', 'now'))).toMatch(/clock of this machine is \d{4}\.\d s ahead/)
    expect(await generations(database)).toEqual([1])
    const { successor } = await revokeKey(wrong, kid)
    expect(kidIn(await tokenOf(url, client))).toBe(successor?.kid)
  })
})

test('each resource has its algorithm; all keys are in one set (RFC 7517 §5)', async ({
  database,
  start,
}) => {
  const { url } = await start({ MINTMARK_SIGNING_ALGORITHMS: 'ES256,EdDSA,RS256,PS256' })
  const client = await registerClient(database, {
    access: { [orders]: ['orders:read'], [invoices]: ['invoices:read'] },
  })
  const set = await jwks(url)
  expect(set.keys.map(({ alg }) => alg).sort()).toEqual(['ES256', 'EdDSA', 'PS256', 'RS256'])
  for (const key of set.keys) expect(key).not.toHaveProperty('d')
  for (const [audience, algorithm] of [
    [orders, 'RS256'],
    [invoices, 'EdDSA'],
    [orders, 'PS256'],
    [orders, 'ES256'],
  ] as const) {
    await database.query('UPDATE resource SET signing_algorithm = $2 WHERE audience = $1', [
      audience,
      algorithm,
    ])
    const token = await tokenOf(url, client, audience)
    const { protectedHeader } = await jwtVerify(token, createLocalJWKSet(set), { issuer: url, audience })
    expect(protectedHeader.alg).toBe(algorithm)
  }
})

test('a key-encryption key that is not the right one: no start, and not a byte changed (F-15)', async ({
  database,
  start,
}) => {
  const right = await start()
  const rows = () => database.query('SELECT *, xmin::text FROM signing_key ORDER BY kid')
  const before = await rows()
  const attempt = startService({ database, key: Buffer.alloc(32, 7) })
  await expect(attempt).rejects.toThrow(OperatorError)
  await expect(attempt).rejects.toThrow(/No key was created or deleted/)
  expect(await rows()).toEqual(before)
  // Nor where a row was damaged, although the key is right.
  await database.query(`UPDATE signing_key SET sealed_private_key = substr(sealed_private_key, 1, 40)`)
  const damaged = await rows()
  await expect(startService({ database })).rejects.toThrow(/changed by somebody without/)
  expect(await rows()).toEqual(damaged)
  expect((await fetch(`${right.url}/readyz`)).status).toBe(200)
})

test('a damaged row of a key that is over stops no start, and no rewrap', async ({
  context,
  database,
  start,
}) => {
  const { url } = await start()
  const client = await registerClient(database)
  const gone = String(kidIn(await tokenOf(url, client)))
  await revokeKey(context(), gone)
  await database.query(`UPDATE signing_key SET sealed_private_key = '\\x00' WHERE kid = $1`, [gone])
  const second = await start()
  expect(kidIn(await tokenOf(second.url, client))).toBe((await kidsOf(second.url))[0])
  const [to, from] = [keyEncryptionKey(Buffer.alloc(32, 9)), keyEncryptionKey(testKey)]
  const { resealed } = await rewrap(context(), [to, from])
  expect(resealed.map(({ kid }) => kid)).toEqual(await kidsOf(second.url))
})

test('a resource whose algorithm is not configured has keys all the same, and the log says so', async ({
  database,
  start,
}) => {
  await registerResources(database)
  await database.query(`UPDATE resource SET signing_algorithm = 'EdDSA' WHERE audience = $1`, [invoices])
  const { url, log } = await start()
  const client = await registerClient(database, { access: { [invoices]: ['invoices:read'] } })
  expect(decodeProtectedHeader(await tokenOf(url, client, invoices)).alg).toBe('EdDSA')
  expect(log()).toContain('"event":"algorithm_unlisted","algorithms":["EdDSA"]')
  // And one that comes later, on a service that runs: at its next look, and at once while nobody fetched the set.
  await database.query(`UPDATE resource SET signing_algorithm = 'RS256' WHERE audience = $1`, [orders])
  const short = await start({ MINTMARK_KEY_LIFETIME_SECONDS: '600', ...quickSettings })
  await expect.poll(async () => (await generations(database, 'RS256')).length).toBe(1)
  expect((await health(short.url)).warnings).toEqual([])
})

const quickSettings = {
  MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: '60',
  MINTMARK_JWKS_MAX_AGE_SECONDS: '5',
  MINTMARK_VERIFIER_COOLDOWN_SECONDS: '5',
  MINTMARK_CLOCK_SKEW_SECONDS: '5',
}

async function health(url: string): Promise<{ status: string; warnings: string[] }> {
  return (await (await fetch(`${url}/readyz`)).json()) as { status: string; warnings: string[] }
}

test('readiness warns of what will be missing while tokens are still issued, and takes it back', async ({
  context,
  database,
  start,
}) => {
  const { url, log } = await start(scheduleEnvironment({ ...drillSchedule, keyLifetimeSeconds: 60 }))
  const client = await registerClient(database)
  expect(await health(url)).toMatchObject({ status: 'ready', warnings: [] })
  // A key that this replica cannot open, although somebody who has both key-encryption keys vouched for it.
  const stranger = { ...drillSchedule, keyLifetimeSeconds: 60 }
  const { prisma } = context(stranger).database
  const first = (await listKeys(prisma))[0] as KeyMoments
  const foreign = keyEncryptionKey(Buffer.alloc(32, 3))
  const moments = { ...first, publishedAt: first.publishedAt - 1, signsFrom: first.signsUntil - 1 }
  const kid = await createKey(prisma, foreign, 'ES256', 2, moments)
  const own = keyEncryptionKey(testKey)
  await writeManifest(prisma, [own, { ...own, id: foreign.id }], [{ kid: kid ?? '', mayBeClosed: true }])
  await expect.poll(async () => (await health(url)).warnings).toContain('key_unopened')
  expect((await requestTokenPatiently(url, client)).status).toBe(200)
  await database.query('DELETE FROM signing_key WHERE generation = 2')
  await expect.poll(async () => (await health(url)).warnings).not.toContain('key_unopened')
  // A key that is due and cannot be made, because the newest one is sealed with a key nobody has.
  const lost = { ...own, id: '0000000000000000' }
  const sealWith = async (id: string, signsUntil: string) => {
    await database.query(
      `UPDATE signing_key SET key_encryption_key_id = $1, signs_until = ${signsUntil} WHERE generation = 1`,
      [id],
    )
    await writeManifest(
      prisma,
      [own, lost, { ...own, id: foreign.id }],
      [(await listKeys(prisma))[0] as KeyDescription].map((key) => ({ kid: key.kid, moments: key })),
    )
  }
  await sealWith(lost.id, `date_trunc('second', now()) + interval '2 seconds'`)
  await expect.poll(async () => (await health(url)).warnings).toContain('key_rotation_failed')
  expect((await requestTokenPatiently(url, client)).status).toBe(200)
  expect((await health(url)).status).toBe('ready')
  await sealWith(own.id, 'signs_until')
  await expect.poll(async () => (await health(url)).warnings).toEqual([])
  expect(log()).toContain('key_rotation_recovered')
  expect(await generations(database)).toEqual([1, 2])
})

test('a replica that was stopped through a rotation serves the new set and signs with the new key when it wakes (F-13)', async ({
  context,
  database,
  serve,
}) => {
  const client = await registerClient(database)
  const [first, second] = [await serve(), await serve()]
  const old = kidIn(await tokenOf(second.url, client))
  second.child.kill('SIGSTOP')
  await sleep(300)
  const rotation = await rotate(context(usual, Buffer.from(sharedKey, 'base64')), 'ES256', 'now')
  expect(rotation.kid).not.toBe(old)
  // Longer than between two of its looks at the database.
  await sleep(3_000)
  // Asked while it cannot answer: these are the first things it does when it wakes.
  const asked = [kidsOf(second.url), kidsOf(second.url)]
  const token = tokenOf(second.url, client)
  await sleep(200)
  second.child.kill('SIGCONT')
  for (const kids of await Promise.all(asked)) expect(kids).toContain(rotation.kid)
  expect(kidIn(await token)).toBe(rotation.kid)
  expect(await kidsOf(first.url)).toEqual(await kidsOf(second.url))
  for (const service of [first, second]) expect(await service.end('SIGTERM')).toBe(0)
})

describe('the set in caches', () => {
  test('max-age is never above the setting and not always the same; the tag changes with the keys alone', async ({
    context,
    start,
  }) => {
    const { url } = await start()
    const ages = new Set<number>()
    const tags = new Set<string | null>()
    for (let round = 0; round < 50; round += 1) {
      const response = await fetch(`${url}/.well-known/jwks.json`)
      const [, age] =
        /^public, max-age=(\d+), stale-if-error=\d+$/.exec(response.headers.get('cache-control') ?? '') ?? []
      ages.add(Number(age))
      tags.add(response.headers.get('etag'))
      await response.arrayBuffer()
    }
    expect(Math.max(...ages)).toBeLessThanOrEqual(300)
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(240)
    expect(ages.size).toBeGreaterThan(5)
    expect(tags.size).toBe(1)
    const [tag] = tags
    const conditional = () =>
      fetch(`${url}/.well-known/jwks.json`, { headers: { 'if-none-match': String(tag) } })
    expect((await conditional()).status).toBe(304)
    await rotate(context(), 'ES256', 'lead')
    await expect.poll(async () => (await conditional()).status).toBe(200)
  })

  test('who fetched which keys is remembered, by name where there is one', async ({ context, start }) => {
    const service = await start()
    const [kid] = await kidsOf(service.url)
    const as = (name: string) =>
      fetch(`${service.url}/.well-known/jwks.json`, {
        headers: { 'mintmark-verifier': name, 'user-agent': 'drill/1' },
      })
    await as('orders-api')
    await as('orders-api')
    await as('bad\u00e9')
    // Written when it closes, at the latest.
    await service.close()
    const seen = await listVerifiers(context().database.prisma)
    expect(
      seen.filter(({ named }) => named).map(({ name, kids, userAgent }) => ({ name, kids, userAgent })),
    ).toEqual(
      expect.arrayContaining([
        { name: 'orders-api', kids: [kid], userAgent: 'drill/1' },
        { name: 'bad?', kids: [kid], userAgent: 'drill/1' },
      ]),
    )
    expect(seen.filter(({ named }) => !named)).toHaveLength(1)
  })
})

test('a service that has no key for an algorithm says so, and others go on', async ({ database, start }) => {
  const { url } = await start()
  await registerResources(database)
  const client = await registerClient(database, { access: { [orders]: [], [invoices]: [] } })
  await database.query(`UPDATE resource SET signing_algorithm = 'RS256' WHERE audience = $1`, [invoices])
  expect((await requestToken(url, client, { resource: invoices })).status).toBe(503)
  expect((await requestTokenPatiently(url, client, { resource: orders })).status).toBe(200)
})

test('the very first key signs at once, also if a command makes it before a service runs', async ({
  context,
}) => {
  const rotation = context()
  const first = await rotate(rotation, 'ES256', 'lead')
  expect(first.moments.signsFrom).toBeLessThanOrEqual(rotation.clock.nowSeconds())
  // Somebody may have a set with that key alone.
  const other = await rotate(rotation, 'EdDSA', 'lead')
  expect(other.moments.signsFrom).toBeGreaterThan(rotation.clock.nowSeconds())
})

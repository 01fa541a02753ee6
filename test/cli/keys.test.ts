/**
 * What an operator does to the keys: a look changes nothing, an early rotation breaks nobody unless it was
 * asked to, a key that was called back signs nothing from then on, and the key-encryption key is replaced
 * under a service that runs, in an order that can be interrupted anywhere.
 *
 * Long because every command of the keys is tried on one set of databases and services.
 */
import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { describe, expect } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { openDatabase } from '../../src/database/open.ts'
import { keyFiles, replaceKeyFile, resolveKeyEncryptionKeys } from '../../src/keys/key-encryption-key.ts'
import { loadKeys, writeManifest } from '../../src/keys/manifest-store.ts'
import { rewrapFile } from '../../src/keys/rewrap.ts'
import { assumedVerifierCacheSeconds, earlyLeadSeconds, leadSeconds } from '../../src/keys/schedule.ts'
import { createKey } from '../../src/keys/store.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { command, commandAtTerminal, succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { type Outcome, startServiceProcess } from '../support/process.ts'
import { kidsOf } from '../support/rotation.ts'
import {
  drillSchedule,
  orders,
  registerClient,
  requestTokenPatiently,
  startService,
  type TestService,
} from '../support/service.ts'
import { until } from '../support/wait.ts'

const oldKey = randomBytes(32)
const newKey = randomBytes(32)
const { schedule } = readConfig({})
const lead = earlyLeadSeconds(schedule, assumedVerifierCacheSeconds)

const test = base
  /** Runs a command about keys, with these settings. */
  .extend('runKeys', ({ database }) => {
    return (environment: Record<string, string>, ...given: string[]): Promise<Outcome> =>
      command({ DATABASE_URL: database.url, ...environment }, 'keys', ...given)
  })
  /** Runs a command about keys that must succeed. */
  .extend('ran', ({ runKeys }) =>
    succeeding((...given) => runKeys({ MINTMARK_KEY_ENCRYPTION_KEY: oldKey.toString('base64') }, ...given)),
  )
  .extend('listed', ({ runKeys }) => {
    return async (...given: string[]): Promise<ListedKey[]> =>
      JSON.parse((await runKeys({}, 'list', '--json', ...given)).stdout).keys
  })
  .extend('records', ({ database }) => {
    return (outcome: string) =>
      database.query<{ kid: string; detail: string }>(
        `SELECT kid, detail FROM audit_record WHERE type = 'key' AND outcome = $1 ORDER BY chain, seq`,
        [outcome],
      )
  })
  /** A service that runs while something is done, and not for longer. */
  .extend('withService', ({ startService }) => {
    return async <Result>(work: (service: TestService) => Promise<Result>): Promise<Result> => {
      const service = await startService({ key: oldKey })
      try {
        return await work(service)
      } finally {
        await service.close()
      }
    }
  })

async function kidOfToken(url: string, client: Awaited<ReturnType<typeof registerClient>>): Promise<string> {
  const { access_token: token } = (await (await requestTokenPatiently(url, client)).json()) as {
    access_token: string
  }
  await jwtVerify(token, createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`)), { audience: orders })
  return decodeProtectedHeader(token).kid ?? ''
}

interface ListedKey {
  readonly kid: string
  readonly state: string
  readonly signs_until: string
  readonly key_encryption_key_id: string
}

describe('list', () => {
  test('without any key', async ({ runKeys }) => {
    expect(await runKeys({}, 'list')).toMatchObject({ code: 0, stdout: '' })
  })

  test('shows a table and a timeline, and needs no key-encryption key', async ({
    listed,
    ran,
    runKeys,
    withService,
  }) => {
    await withService(async () => {
      await ran('rotate')
      const { stdout, code } = await runKeys({}, 'list')
      expect(code).toBe(0)
      const [signing, next] = await listed()
      expect([signing?.state, next?.state]).toEqual(['signing', 'published'])
      expect(stdout).toContain(`${signing?.kid}  ES256      1           signing`)
      const rows = stdout.split('\n').filter((line) => /^ES256 \d /.test(line))
      expect(rows).toHaveLength(2)
      for (const line of stdout.split('\n\n')[1]?.split('\n') ?? [])
        expect(line.length).toBeLessThanOrEqual(100)
      expect(rows[0]).toMatch(/^ES256 1 \S{8} +│█?▒+$/)
      expect(rows[1]).toMatch(/^ES256 2 \S{8} +│█+▒+$/)
      expect(stdout).toMatch(/ now .*\n.*░ published.*█ signing.*▒ retiring.*│ now/s)
    })
  })
})

describe('rotate', () => {
  test('--plan changes nothing and says who has not seen the next key', async ({
    database,
    ran,
    records,
    runKeys,
    withService,
  }) => {
    await withService(async ({ url }) => {
      await fetch(`${url}/.well-known/jwks.json`, { headers: { 'mintmark-verifier': 'orders' } })
    })
    const before = await database.query('SELECT * FROM signing_key')
    const plan = await runKeys({}, 'rotate', '--plan')
    expect(plan, plan.stderr).toMatchObject({ code: 0 })
    expect(plan.stdout).toMatch(/^next key +not created yet/m)
    expect(plan.stdout).toMatch(/^orders +127\.0\.0\.1 +2/m)
    expect(plan.stdout).toContain('1 of 1 known verifier has not fetched the next key.')
    expect(plan.stdout).toMatch(new RegExp(`would sign from +.* \\(in (${lead}|${lead - 1}) seconds\\)`))
    expect(await database.query('SELECT * FROM signing_key')).toEqual(before)
    expect(await records('rotated')).toEqual([])

    await ran('rotate')
    await withService(async ({ url }) => {
      await fetch(`${url}/.well-known/jwks.json`, { headers: { 'mintmark-verifier': 'orders' } })
      await fetch(`${url}/.well-known/jwks.json`, { headers: { 'mintmark-verifier': 'invoices' } })
    })
    const fields = JSON.parse((await runKeys({}, 'rotate', '--plan', '--json')).stdout)
    expect(fields).toMatchObject({ plan: true, new: false, generation: 2, breaks_for_seconds: 0 })
    expect(fields.verifiers).toHaveLength(2)
    expect(fields.verifiers).toContainEqual(expect.objectContaining({ name: 'orders', has_next_key: true }))
  })

  test('keeps the lead time, also when it is asked again', async ({ database, listed, ran, withService }) => {
    await withService(async ({ url }) => {
      const client = await registerClient(database)
      const before = await kidOfToken(url, client)
      const first = JSON.parse(await ran('rotate', '--json'))
      expect(first).toMatchObject({ new: true, planned_from: null, breaks_for_seconds: 0 })
      expect(Date.parse(first.signs_from) - Date.parse(first.published_at)).toBe(lead * 1000)
      const again = JSON.parse(await ran('rotate', '--json'))
      expect(again).toMatchObject({ kid: first.kid, new: false, signs_from: first.signs_from })
      expect(await ran('rotate')).toContain('the earliest time at which every relying service knows it.')
      expect(await kidOfToken(url, client)).toBe(before)
      const keys = (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] }
      expect(keys.keys.map(({ kid }) => kid)).toEqual([before, first.kid])
      expect((await listed())[0]?.signs_until).toBe(first.signs_from)
      // Who knows that no relying service keeps the JWKS for longer than it may need not wait for one.
      const sooner = JSON.parse(await ran('rotate', '--verifier-cache', '0s', '--json'))
      expect(Date.parse(sooner.signs_from) - Date.parse(first.published_at)).toBe(
        leadSeconds(schedule) * 1000,
      )
      // Nothing makes it later again, so it is not said that every cache has the key by then.
      const longer = await ran('rotate', '--verifier-cache', '1h')
      expect(longer).toContain('Nothing was changed.')
      expect(longer).toMatch(
        /keeps the JWKS for 3600 seconds may refuse its tokens for \d+ seconds after that/,
      )
      expect(longer).not.toContain('every relying service')
    })
  })

  test('--now is in force at once and says what it breaks', async ({
    database,
    listed,
    ran,
    records,
    runKeys,
    withService,
  }) => {
    await withService(async ({ url }) => {
      const client = await registerClient(database)
      const before = await kidOfToken(url, client)
      const outcome = await runKeys(
        { MINTMARK_KEY_ENCRYPTION_KEY: oldKey.toString('hex') },
        'rotate',
        '--now',
      )
      expect(outcome.stderr).toContain(
        `refuse its tokens until they fetch the JWKS again, for up to ${lead} seconds.`,
      )
      const after = await kidOfToken(url, client)
      expect(after).not.toBe(before)
      expect(outcome.stdout).toContain(`${after} is created and published. It signs ES256 tokens from`)
      expect((await listed()).map(({ state }) => state)).toEqual(['retiring', 'signing'])
      expect(await records('rotated at once')).toHaveLength(1)
      // The next one, as early as caches allow; asked again there is nothing left to bring forward.
      expect(await ran('rotate')).toContain('is created and published')
      expect(await ran('rotate')).toMatch(/^Nothing was changed\. .* every relying service knows it\.\n$/)
      expect(await records('rotated')).toHaveLength(1)
    })
  })

  test('--now from several people at the same moment lets one key sign at once', async ({
    ran,
    records,
    withService,
  }) => {
    await withService(async () => {
      const now = async () => JSON.parse(await ran('rotate', '--now', '--json'))
      const rotations = await Promise.all([now(), now(), now()])
      expect(rotations.map(({ changed }) => changed).sort()).toEqual([false, false, true])
      for (const { changed, breaks_for_seconds: seconds } of rotations) expect(seconds > 0).toBe(changed)
      expect(new Set(rotations.map(({ kid }) => kid)).size).toBe(1)
      expect(await records('rotated at once')).toHaveLength(1)
      // Somebody who begins later wants one more.
      expect(await now()).toMatchObject({ changed: true, generation: 3 })
      const told = await Promise.all([ran('rotate', '--now'), ran('rotate', '--now')])
      expect(told).toContainEqual(
        expect.stringMatching(/^Nothing was changed\. Another command let .* run it again\.\n$/),
      )
    })
  })

  test('refuses an algorithm that has no keys', async ({ runKeys }) => {
    expect(await runKeys({}, 'rotate', '--algorithm', 'EdDSA')).toMatchObject({ code: 2, stdout: '' })
    const { stderr } = await runKeys(
      { MINTMARK_SIGNING_ALGORITHMS: 'EdDSA' },
      'rotate',
      '--algorithm',
      'EdSA',
    )
    expect(stderr).toContain('Did you mean "EdDSA"?')
  })
})

describe('revoke', () => {
  test('is in force at once: it is gone from the JWKS, another key signs, and the record says until when', async ({
    database,
    ran,
    records,
    withService,
  }) => {
    await withService(async ({ url }) => {
      const client = await registerClient(database)
      const leaked = await kidOfToken(url, client)
      const typed = await commandAtTerminal({ DATABASE_URL: database.url }, 'no\n', 'keys', 'revoke', leaked)
      expect([typed.code, typed.stderr]).toEqual([1, expect.stringContaining('so nothing was changed.')])
      const fields = JSON.parse(await ran('revoke', leaked, '--yes', '--json'))
      const after = await kidOfToken(url, client)
      expect(after).not.toBe(leaked)
      expect(fields).toMatchObject({ kid: leaked, changed: true, signing: after })
      const set = await (await fetch(`${url}/.well-known/jwks.json`)).text()
      expect(set).not.toContain(leaked)
      const [record] = await records('revoked')
      const until = JSON.parse(record?.detail ?? '{}').relying_services_refuse_from
      expect(until * 1000).toBe(Date.parse(fields.relying_services_refuse_from))
      expect((await records('promoted')).map(({ kid }) => kid)).toEqual([after])
      expect(await ran('revoke', leaked)).toMatch(
        new RegExp(`^${leaked} was already revoked\\. ${after} signs now`),
      )
    })
  })

  test('of a signing key needs no key-encryption key; a service that has it lets the next key take over', async ({
    database,
    ran,
    runKeys,
    withService,
  }) => {
    await withService(async ({ url }) => {
      const client = await registerClient(database)
      const leaked = await kidOfToken(url, client)
      const next = JSON.parse(await ran('rotate', '--json')).kid
      const outcome = await runKeys({}, 'revoke', leaked, '--yes')
      expect(outcome, outcome.stderr).toMatchObject({ code: 0 })
      expect(outcome.stdout).toContain('No key signs now.')
      expect(outcome.stderr).toContain('A service that has the key-encryption key')
      await expect.poll(async () => (await requestTokenPatiently(url, client)).status).toBe(200)
      expect(await kidOfToken(url, client)).toBe(next)
      expect((await runKeys({}, 'list')).stdout).toMatch(/^ES256 1 \S{8} .*×/m)
    })
  })

  test('of a key that does not exist has an exit code of its own', async ({ runKeys }) => {
    expect(await runKeys({}, 'revoke', 'nope')).toMatchObject({ code: 3, stdout: '' })
  })
})

describe('rewrap', () => {
  const both = {
    MINTMARK_KEY_ENCRYPTION_KEY: newKey.toString('base64'),
    MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS: oldKey.toString('base64'),
  }

  test('with DATABASE_URL: under a service that runs, and then the old one is needed no more', async ({
    database,
    listed,
    records,
    runKeys,
    withService,
  }) => {
    await withService(async ({ url }) => {
      const client = await registerClient(database)
      const kid = await kidOfToken(url, client)
      const [before] = await listed()
      const outcome = await runKeys(both, 'rewrap')
      expect(outcome.stdout).toMatch(/^1 signing key sealed with key-encryption key [0-9a-f]{16}\.\n$/)
      expect(outcome.stderr).toContain('sealed with MINTMARK_KEY_ENCRYPTION_KEY_PREVIOUS any more')
      const [after] = await listed()
      const [record] = await records('resealed')
      expect(JSON.parse(record?.detail ?? '{}').changes.key_encryption_key_id).toEqual({
        from: before?.key_encryption_key_id,
        to: after?.key_encryption_key_id,
      })
      expect(await kidOfToken(url, client)).toBe(kid)
    })
    const again = await runKeys({ MINTMARK_KEY_ENCRYPTION_KEY: newKey.toString('base64') }, 'rewrap')
    expect(again.stdout).toContain('already')
    await expect(startService({ database, key: oldKey })).rejects.toThrow(/No key was created or deleted/)
    const service = await startService({ database, key: newKey })
    await service.close()
  })

  test('a key made before it is sealed with the old one, which every replica has; after it, never again', async ({
    listed,
    runKeys,
    withService,
  }) => {
    await withService(async () => {})
    const [first] = await listed()
    const made = await runKeys(both, 'rotate')
    expect(made, made.stderr).toMatchObject({ code: 0 })
    expect((await listed()).map((key) => key.key_encryption_key_id)).toEqual(
      Array(2).fill(first?.key_encryption_key_id),
    )
    await runKeys(both, 'rewrap')
    const late = await runKeys({ MINTMARK_KEY_ENCRYPTION_KEY: oldKey.toString('base64') }, 'rotate', '--now')
    expect(late.code).toBe(1)
    expect(late.stderr).toMatch(/the newest signing key is sealed with .*No key was created\./)
    expect(await listed()).toHaveLength(2)
  })

  test('with the wrong keys nothing is changed', async ({ database, runKeys, withService }) => {
    await withService(async () => {})
    const before = await database.query('SELECT * FROM signing_key')
    const outcome = await runKeys({ MINTMARK_KEY_ENCRYPTION_KEY: newKey.toString('base64') }, 'rewrap')
    expect(outcome.code).toBe(1)
    expect(outcome.stderr).toMatch(/^mintmark: MINTMARK_KEY_ENCRYPTION_KEY: .*\n$/)
    expect(await database.query('SELECT * FROM signing_key')).toEqual(before)
  })
})

describe('rewrap of the file', () => {
  const later = Math.floor(Date.now() / 1_000) + 3_600
  const moments = {
    publishedAt: 1,
    signsFrom: 1,
    signsUntil: later,
    publishedUntil: later,
    revokedAt: undefined,
  }
  const resolveIn = (dataDirectory: string, hasSigningKeys: boolean) =>
    resolveKeyEncryptionKeys({
      configured: undefined,
      previous: undefined,
      databaseIsEmbedded: true,
      dataDirectory,
      hasSigningKeys: async () => hasSigningKeys,
    })

  /** A data directory with a file, and what is done to it. */
  const fileTest = test
    .extend('directory', ({ files }) => files.path('interrupted'))
    .extend(
      'resolve',
      ({ directory }) =>
        () =>
          resolveIn(directory, true),
    )
    .extend('opened', ({ database }, { onCleanup }) => {
      const opened = openDatabase(database.url)
      onCleanup(() => opened.close())
      return opened
    })
    .extend('rewrapOnce', ({ directory, opened }) => () => {
      return rewrapFile(
        { database: opened, clock: systemClock, actor: { by: 'a test' }, schedule: drillSchedule },
        directory,
      )
    })

  interface Interrupted {
    readonly directory: string
    readonly resolve: () => ReturnType<typeof resolveIn>
    readonly rewrapOnce: () => Promise<unknown>
  }

  /** Where it can be interrupted, in order, as what is on the disk and in the database then. */
  fileTest.for<[where: string, completes: boolean, interrupt: (at: Interrupted) => Promise<void>]>([
    ['before anything', false, async () => {}],
    [
      'after the old key was put aside',
      false,
      async ({ directory }) => copyFileSync(keyFiles(directory).path, keyFiles(directory).previousPath),
    ],
    [
      'after the new key was written',
      true,
      async ({ directory, resolve }) => {
        replaceKeyFile(directory, (await resolve())[0])
      },
    ],
    [
      'after the keys were sealed anew',
      true,
      async ({ directory, rewrapOnce }) => {
        const { path, previousPath } = keyFiles(directory)
        const old = readFileSync(path)
        await rewrapOnce()
        writeFileSync(previousPath, old, { mode: 0o600 })
      },
    ],
  ])(
    'interrupted %s it still starts, and run again it is complete',
    async ([_where, completes, interrupt], { directory, opened, resolve, rewrapOnce }) => {
      const [key] = await resolveIn(directory, false)
      const kid = await createKey(opened.prisma, key, 'ES256', 1, moments)
      await writeManifest(opened.prisma, [key], [{ kid: kid ?? '' }])
      await interrupt({ directory, resolve, rewrapOnce })
      expect((await loadKeys(opened.prisma, await resolve(), () => true)).keys).toHaveLength(1)
      const result = await rewrapOnce()
      expect(result.completed).toBe(completes)
      expect(existsSync(keyFiles(directory).previousPath)).toBe(false)
      const left = await resolve()
      expect(left.map(({ id }) => id)).toEqual([result.keyEncryptionKeyId])
      expect(left[0].id).not.toBe(key.id)
      expect((await loadKeys(opened.prisma, left, () => true)).keys).toHaveLength(1)
    },
  )

  fileTest(
    'with a file that does not open the keys, it is left as it is',
    async ({ directory, opened, rewrapOnce }) => {
      const { path, previousPath } = keyFiles(directory)
      const [key] = await resolveIn(directory, false)
      const stranger = { ...key, id: '0'.repeat(16) }
      const kid = await createKey(opened.prisma, stranger, 'ES256', 1, moments)
      await writeManifest(opened.prisma, [key], [{ kid: kid ?? '', mayBeClosed: true }])
      const before = readFileSync(path, 'utf8')
      await expect(rewrapOnce()).rejects.toThrow(/No key was created or deleted/)
      expect(readFileSync(path, 'utf8')).toBe(before)
      expect(existsSync(previousPath)).toBe(false)
    },
  )
})

test('a service on the embedded database goes on through a rewrap, and makes and opens keys after it', async ({
  files,
  track,
}) => {
  const directory = files.path('embedded')
  const settings = {
    MINTMARK_DATA_DIR: directory,
    // A key every half minute, so that the service makes one by itself while we look.
    MINTMARK_KEY_LIFETIME_SECONDS: '24',
    MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: '3',
    MINTMARK_JWKS_MAX_AGE_SECONDS: '2',
    MINTMARK_VERIFIER_COOLDOWN_SECONDS: '1',
    MINTMARK_CLOCK_SKEW_SECONDS: '1',
  }
  const service = track(await startServiceProcess(['start'], { environment: settings }))
  const environment = { ...settings, PORT: new URL(service.url).port }
  await service.until(() => service.output().includes('jwks.json\n'))
  const rewrapped = await command(environment, 'keys', 'rewrap')
  expect(rewrapped.stdout, rewrapped.stderr).toMatch(/^\d signing keys? sealed with/)
  expect(existsSync(keyFiles(directory).previousPath)).toBe(false)
  const { keys: before } = JSON.parse((await command(environment, 'keys', 'list', '--json')).stdout)
  const rotated = await command(environment, 'keys', 'rotate', '--now', '--json')
  const { kid } = JSON.parse(rotated.stdout)
  const secret = readFileSync(`${directory}/billing.secret`, 'utf8').trim()
  const answer = await requestTokenPatiently(service.url, { clientId: 'billing', secret })
  const { access_token: token } = (await answer.json()) as { access_token: string }
  expect(decodeProtectedHeader(token).kid).toBe(kid)
  // The one that the service makes by itself, when half of that key's turn is over.
  const known = [kid, ...before.map((key: ListedKey) => key.kid)]
  await until(async () => (await kidsOf(service.url)).some((each) => !known.includes(String(each))))
  const keys: ListedKey[] = JSON.parse((await command(environment, 'keys', 'list', '--json')).stdout).keys
  expect(keys.filter((key) => !known.includes(key.kid))).not.toEqual([])
  expect(new Set(keys.map((key) => key.key_encryption_key_id)).size).toBe(1)
  expect(service.output()).not.toContain('database_fault')
  expect(await service.end('SIGTERM')).toBe(0)
})

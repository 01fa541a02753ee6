/** The whole life of a secret: it is replaced while it is used, and ends by itself. */
import { describe, expect } from 'vitest'
import { endUnusedSecrets } from '../../src/administration/secret-watch.ts'
import { openDatabase } from '../../src/database/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { commandWithInput, succeeding } from '../support/command.ts'
import { test as baseTest, sharedTest } from '../support/fixtures.ts'
import { commandProcess } from '../support/process.ts'
import { shiftedClock } from '../support/rotation.ts'
import { orders, registerClient, requestTokenPatiently, startService } from '../support/service.ts'

const test = sharedTest.extend('service', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const service = await startService({ database })
  onCleanup(() => service.close())
  return service
})

const ownTest = baseTest.extend('statements', async ({ database }, { onCleanup }) => {
  const opened = openDatabase(database.url)
  onCleanup(() => opened.close())
  return opened.statements
})

interface Ended {
  readonly secret_id: string
  readonly expires_at: string | null
}

type Database = Parameters<typeof registerClient>[0]

async function recordsOf(database: Database, secretId: string) {
  const rows = await database.query<{ outcome: string; detail: string }>(
    `SELECT outcome, detail FROM audit_record WHERE type = 'secret' AND credential_id = $1 ORDER BY time, chain, seq`,
    [secretId],
  )
  return rows.map(({ outcome, detail }) => ({ outcome, ...JSON.parse(detail) }))
}

const statusOf = async (url: string, clientId: string, secret: string): Promise<number> =>
  (await requestTokenPatiently(url, { clientId, secret }, { resource: orders })).status

/** The service reads another clock than this process: an end of a secret is moved instead. */
const past = (database: Database, secretId: string) =>
  database.query(`UPDATE client_secret SET expires_at = now() - interval '1 second' WHERE secret_id = $1`, [
    secretId,
  ])

describe('clients secrets rotate', () => {
  test('counts from the time of the database, if the clock of the machine is hours behind', async ({
    database,
    run,
  }) => {
    const { clientId } = await registerClient(database)
    // Not at the same moment, whatever the wrong clock says.
    await succeeding(run)('clients', 'secrets', 'rotate', clientId)
    const wrong = 'const now = Date.now; Date.now = () => now() - 7_200_000'
    const environment = {
      DATABASE_URL: database.url,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(wrong)}`,
    }
    const given = ['--overlap', '30m', '--expires-in', '1h', '--json']
    const outcome = await commandProcess(environment, 'clients', 'secrets', 'rotate', clientId, ...given)
    const rotated = JSON.parse(outcome.stdout)
    const minutesUntil = (moment: string) => Math.round((Date.parse(moment) - Date.now()) / 60_000)
    expect(minutesUntil(rotated.replaced[0].expires_at)).toBeGreaterThan(20)
    expect(minutesUntil(rotated.expires_at)).toBeGreaterThan(50)
  })

  test('is refused by a dry run, if it would be refused', async ({ run }) => {
    const profile = ['--fapi', 'yes', '--auth-method', 'private_key_jwt', '--dpop-bound-access-tokens', 'yes']
    await succeeding(run)('clients', 'create', 'bank', ...profile)
    const refused = await run('clients', 'secrets', 'rotate', 'bank')
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(await run('clients', 'secrets', 'rotate', 'bank', '--dry-run')).toEqual(refused)
  })

  test('by two people at the same moment gives one new secret, and the other one is told', async ({
    database,
    run,
  }) => {
    const { clientId } = await registerClient(database)
    const rotate = () => run('clients', 'secrets', 'rotate', clientId)
    const outcomes = await Promise.all([rotate(), rotate()])
    expect(outcomes.map(({ code }) => code).sort()).toEqual([0, 1])
    expect(outcomes.map(({ stderr }) => stderr).join('')).toMatch(
      /Another command replaced the secrets of .* while this one ran, by [\w-]{8}\. Nothing was changed\./,
    )
    // Somebody who begins later is not held up.
    expect(await rotate()).toMatchObject({ code: 0 })
  })

  test('fails no request while the old and the new secret are deployed', async ({
    database,
    run,
    service,
  }) => {
    const client = await registerClient(database)
    let current = client.secret
    let isRunning = true
    const statuses: number[] = []
    const callers = Array.from({ length: 8 }, async () => {
      while (isRunning) statuses.push(await statusOf(service.url, client.clientId, current))
    })
    for (let round = 0; round < 3; round += 1) {
      const printed = await succeeding(run)('clients', 'secrets', 'rotate', client.clientId, '--json')
      const before = statuses.length
      // Some callers still have the old one.
      while (statuses.length < before + 20) await new Promise((resolve) => setImmediate(resolve))
      current = JSON.parse(printed).client_secret
      while (statuses.length < before + 60) await new Promise((resolve) => setImmediate(resolve))
    }
    isRunning = false
    await Promise.all(callers)
    expect(new Set(statuses)).toEqual(new Set([200]))
  })

  test('gives the old one an end, keeps an earlier end, and says both in the ledger', async ({
    database,
    run,
    service,
  }) => {
    const ran = succeeding(run)
    const client = await registerClient(database)
    const soon = JSON.parse(
      await ran('clients', 'secrets', 'add', client.clientId, '--expires-in', '1h', '--json'),
    )
    const now = Math.floor(Date.now() / 1000)
    const rotated = JSON.parse(
      await ran('clients', 'secrets', 'rotate', client.clientId, '--overlap', '1d', '--json'),
    )
    expect(rotated).toMatchObject({ status: 'rotated', expires_at: null })
    const [first, second] = rotated.replaced
    expect(first.secret_id).toBe(client.secretId)
    expect(Date.parse(first.expires_at) / 1000 - now).toBeGreaterThanOrEqual(86_400)
    expect(Date.parse(first.expires_at) / 1000 - now).toBeLessThan(86_400 + 60)
    expect(second).toMatchObject({ secret_id: soon.secret_id, expires_at: soon.expires_at })
    const listed = JSON.parse(await ran('clients', 'secrets', 'list', client.clientId, '--json'))
    const ends = new Map(listed.secrets.map((each: Ended) => [each.secret_id, each.expires_at]))
    expect(ends.get(client.secretId)).toBe(first.expires_at)
    expect(ends.get(soon.secret_id)).toBe(soon.expires_at)
    expect((await recordsOf(database, client.secretId)).at(-1)).toMatchObject({
      outcome: 'changed',
      replaced_by: rotated.secret_id,
      changes: { expires_at: { from: null, to: first.expires_at } },
    })
    expect((await recordsOf(database, rotated.secret_id)).at(0)).toMatchObject({
      outcome: 'added',
      replaces: [client.secretId, soon.secret_id],
    })
    expect(await statusOf(service.url, client.clientId, client.secret)).toBe(200)
    expect(await statusOf(service.url, client.clientId, rotated.client_secret)).toBe(200)
  })

  test('stops where a client would have more secrets than it may, unless the others end at once', async ({
    database,
    run,
  }) => {
    const { clientId } = await registerClient(database)
    await database.query(
      `INSERT INTO client_secret (secret_id, client_id, hash, hint)
       SELECT 'many-' || n, $1, 'none', 'none' FROM generate_series(1, 9) AS n`,
      [clientId],
    )
    const refused = await run('clients', 'secrets', 'rotate', clientId)
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('has 10 valid secrets') })
    const { replaced } = JSON.parse(
      await succeeding(run)('clients', 'secrets', 'rotate', clientId, '--overlap', '0s', '--json'),
    )
    expect(replaced).toHaveLength(10)
  })

  test('--overlap 0s ends the old one at once, --dry-run ends nothing', async ({
    database,
    run,
    service,
  }) => {
    const ran = succeeding(run)
    const client = await registerClient(database)
    const dry = await ran('clients', 'secrets', 'rotate', client.clientId, '--overlap', '0s', '--dry-run')
    expect(dry).toContain(`${client.clientId} would get a new secret. Nothing was changed.`)
    expect(await statusOf(service.url, client.clientId, client.secret)).toBe(200)
    await ran('clients', 'secrets', 'rotate', client.clientId, '--overlap', '0s')
    expect(await statusOf(service.url, client.clientId, client.secret)).toBe(401)
  })

  ownTest(
    '--overlap 0s ends the old one also on a replica whose clock is behind',
    async ({ database, run, startService: start }) => {
      const client = await registerClient(database)
      const behind = await start({ clock: shiftedClock(-25).clock })
      expect(await statusOf(behind.url, client.clientId, client.secret)).toBe(200)
      const said = await succeeding(run)('clients', 'secrets', 'rotate', client.clientId, '--overlap', '0s')
      expect(said).toContain('is not valid any more')
      expect(await statusOf(behind.url, client.clientId, client.secret)).toBe(401)
      const [record] = await database.query(
        `SELECT outcome FROM audit_record WHERE type = 'secret' AND credential_id = $1`,
        [client.secretId],
      )
      expect(record).toEqual({ outcome: 'revoked' })
    },
  )

  test.each([
    [['--overlap', '91d'], 'is too long; 90d are the most'],
    [['--overlap', 'long'], 'is not a time'],
    [['--end-when-unused', '1m'], 'is too short; 5m are the least'],
    [['--overlap', '1h', '--end-when-unused', '1h'], 'must be shorter than the overlap'],
  ])('refuses %j', async (options, says) => {
    const { code, stderr } = await commandWithInput({}, '', 'clients', 'secrets', 'rotate', 'a', ...options)
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(says) })
  })
})

describe('an overlap ends', () => {
  ownTest('while no process runs', async ({ database, run, startService: start }) => {
    const client = await registerClient(database)
    const first = await start()
    await succeeding(run)('clients', 'secrets', 'rotate', client.clientId, '--overlap', '1h')
    expect(await statusOf(first.url, client.clientId, client.secret)).toBe(200)
    await first.close()
    await past(database, client.secretId)
    const second = await start()
    expect(await statusOf(second.url, client.clientId, client.secret)).toBe(401)
  })

  // A service that runs would note uses and end secrets at moments of its own.
  ownTest(
    'when nobody has used the old one, with a record, and not sooner',
    async ({ database, run, startService: start, statements }) => {
      const client = await registerClient(database)
      const options = ['--overlap', '1d', '--end-when-unused', '2h']
      await succeeding(run)('clients', 'secrets', 'rotate', client.clientId, ...options)
      const look = () => endUnusedSecrets(statements, systemClock, { by: 'mintmark' })
      const watched = (since: string, at = '1 minute') =>
        database.query(
          `UPDATE client_secret_overlap SET watched_since = now() - $2::interval, watched_at = now() - $3::interval
            WHERE secret_id = $1`,
          [client.secretId, since, at],
        )
      const lastUse = (ago: string) =>
        database.query(
          `INSERT INTO client_secret_use VALUES ($1, now() - $2::interval)
             ON CONFLICT (secret_id) DO UPDATE SET last_used_at = excluded.last_used_at`,
          [client.secretId, ago],
        )
      expect(await look()).toEqual([])
      await watched('2 hours')
      expect(await look(), 'a use may not be written yet').toEqual([])
      await watched('3 hours')
      await lastUse('119 minutes')
      expect(await look(), 'it was used').toEqual([])
      await lastUse('3 hours')
      await watched('3 hours', '10 minutes')
      expect(await look(), 'nobody watched for a while').toEqual([])
      const before = await start()
      expect(await statusOf(before.url, client.clientId, client.secret)).toBe(200)
      await before.close()
      await lastUse('3 hours')
      await watched('3 hours')
      const ended = await Promise.all([look(), look()])
      expect(ended.flat().map(({ secretId }) => secretId)).toEqual([client.secretId])
      const after = await start()
      expect(await statusOf(after.url, client.clientId, client.secret)).toBe(401)
      expect((await recordsOf(database, client.secretId)).at(-1)).toMatchObject({
        outcome: 'ended',
        by: 'mintmark',
        because: 'unused',
        unused_seconds: 7_200,
      })
      expect(await database.query('SELECT 1 FROM registry_unrecorded_change')).toEqual([])
      expect(await look()).toEqual([])
    },
  )

  ownTest(
    'also beside one whose time without use is as long as its column',
    async ({ database, run, statements }) => {
      const [client, other] = [await registerClient(database), await registerClient(database)]
      for (const { clientId } of [client, other])
        await succeeding(run)('clients', 'secrets', 'rotate', clientId, '--end-when-unused', '2h')
      await database.query(
        `UPDATE client_secret_overlap SET watched_since = now() - interval '3 hours', watched_at = now(),
           unused_seconds = CASE WHEN secret_id = $1 THEN 2147483647 ELSE unused_seconds END`,
        [other.secretId],
      )
      const ended = await endUnusedSecrets(statements, systemClock, { by: 'mintmark' })
      expect(ended.map(({ secretId }) => secretId)).toEqual([client.secretId])
    },
  )

  test('for nobody who asks the function before the time', async ({ database, run }) => {
    const client = await registerClient(database)
    const options = ['--overlap', '1d', '--end-when-unused', '2h']
    await succeeding(run)('clients', 'secrets', 'rotate', client.clientId, ...options)
    const ask = () =>
      database.query<{ ended: boolean }>('SELECT registry_end_unused_secret($1) AS ended', [client.secretId])
    expect(await ask()).toEqual([{ ended: false }])
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { startService, type TestService } from '../support/service.ts'

/** Processes on one database must agree on what callers and verifiers see. One that does not is not ready. */

const issuer = { MINTMARK_ISSUER: 'https://tokens.example.com' }
let database: FreshDatabase
let first: TestService

beforeAll(async () => {
  database = await freshDatabase()
  first = await startService({ database, environment: issuer })
})

afterAll(async () => {
  await first.close()
  await database.drop()
})

async function health({ url }: TestService) {
  const response = await fetch(`${url}/readyz`)
  const { checks, warnings } = (await response.json()) as { checks: object; warnings: string[] }
  return { status: response.status, checks, warnings }
}

const patience = { timeout: 3 * limits.settingsCheckMilliseconds }

describe.each([
  ['another issuer', { MINTMARK_ISSUER: 'https://other.example.com' }, 'issuer'],
  ['other lifetimes', { ...issuer, MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: '600' }, 'tokenLifetimeSecondsMax'],
  ['other algorithms', { ...issuer, MINTMARK_SIGNING_ALGORITHMS: 'ES256,EdDSA' }, 'signingAlgorithms'],
])('a process with %s', (_name, environment, setting) => {
  test('is not ready and says why; the one before goes on, warns, and forgets it when it has ended', async () => {
    const second = await startService({ database, environment })
    try {
      expect(await health(second)).toMatchObject({ status: 503, checks: { settings: false } })
      const line =
        second
          .log()
          .split('\n')
          .find((text) => text.includes('"settings_differ"')) ?? '{}'
      expect(JSON.parse(line).others[0].settings).toHaveProperty(setting)
      await expect
        .poll(() => health(first), patience)
        .toMatchObject({ status: 200, warnings: ['settings_differ'] })
      expect(first.log()).toContain('"event":"settings_differ"')
    } finally {
      await second.close()
    }
    await expect.poll(() => health(first), patience).toMatchObject({ status: 200, warnings: [] })
  })
})

test('a process with the same settings is ready, and one that was not seen for long does not count', async () => {
  await database.query(
    `INSERT INTO running_process (process_id, described, settings, started_at, seen_at)
     VALUES (gen_random_uuid(), 'gone', '{}', 'epoch', clock_timestamp() - $1 * interval '1 second')`,
    [limits.processSeenSeconds + 1],
  )
  const second = await startService({ database, environment: issuer })
  try {
    expect(await health(second)).toMatchObject({ status: 200, warnings: [] })
  } finally {
    await second.close()
  }
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { startService, type TestService } from '../support/service.ts'
import { makeCa } from '../support/x509.ts'

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

// All at once, each pair on a database of its own, because they wait for the next look of a process at the others.
describe.concurrent.each([
  ['another issuer', { MINTMARK_ISSUER: 'https://other.example.com' }, 'issuer'],
  ['other lifetimes', { ...issuer, MINTMARK_TOKEN_LIFETIME_SECONDS_MAX: '600' }, 'tokenLifetimeSecondsMax'],
  ['other algorithms', { ...issuer, MINTMARK_SIGNING_ALGORITHMS: 'ES256,EdDSA' }, 'signingAlgorithms'],
])('a process with %s', (_name, environment, setting) => {
  test('is not ready and says why; the one before goes on, warns, and forgets it when it has ended', async ({
    expect,
    onTestFinished,
  }) => {
    const its = await freshDatabase()
    onTestFinished(its.drop)
    const before = await startService({ database: its, environment: issuer })
    onTestFinished(before.close)
    const second = await startService({ database: its, environment })
    try {
      expect(await health(second)).toMatchObject({ status: 503, checks: { settings: false } })
      const line =
        second
          .log()
          .split('\n')
          .find((text) => text.includes('"settings_differ"')) ?? '{}'
      expect(JSON.parse(line).others[0].settings).toHaveProperty(setting)
      await expect.poll(() => health(before)).toMatchObject({ status: 200, warnings: ['settings_differ'] })
      expect(before.log()).toContain('"event":"settings_differ"')
    } finally {
      await second.close()
    }
    await expect.poll(() => health(before)).toMatchObject({ status: 200, warnings: [] })
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

test('a process that asks for no certificate beside one that does is not ready', async () => {
  const gate = {
    ...issuer,
    MINTMARK_TLS_CLIENT_CA: makeCa('O=Test,CN=Root').pem,
    // Without TLS of its own. Nothing listens there.
    MINTMARK_PROXY_SOCKET: '/run/mintmark-test.sock',
    MINTMARK_REQUIRE_CLIENT_CERTIFICATE: 'yes',
  }
  const second = await startService({ database, environment: gate })
  try {
    expect(await health(second)).toMatchObject({ status: 503, checks: { settings: false } })
    expect(second.log()).toContain('"requiresClientCertificate":{"here":"yes","there":"no"}')
  } finally {
    await second.close()
  }
})

test('a process of another release, which knows fewer settings or more, contradicts nobody', async () => {
  await database.query(
    `INSERT INTO running_process (process_id, described, settings, started_at, seen_at)
     SELECT gen_random_uuid(), 'other release', change, 'epoch', clock_timestamp() FROM running_process,
       LATERAL (VALUES (settings - 'sealedRegistry'), (settings || '{"later": "yes"}')) AS v (change)
      WHERE ended_at IS NULL`,
  )
  const second = await startService({ database, environment: issuer })
  try {
    expect(await health(second)).toMatchObject({ status: 200, warnings: [] })
  } finally {
    await second.close()
    await database.query(`DELETE FROM running_process WHERE described = 'other release'`)
  }
})

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { revokeKey } from '../../src/keys/revocation.ts'
import { listKeys } from '../../src/keys/store.ts'
import type { FreshDatabase } from '../support/database.ts'
import { drill, isLong, joseVerifier } from '../support/drill.ts'
import { kidsOf, test } from '../support/rotation.ts'
import { drillSchedule, registerClient, requestToken, scheduleEnvironment } from '../support/service.ts'
import { until } from '../support/wait.ts'

/** Keys that rotate every few seconds, under load, with verifiers that cache as real ones do. */

/** The drill ends when the key of this generation is gone. */
const removed = isLong ? 20 : 2
const rounds = isLong ? 30 : 4

/** Why requests got no token, unless it was that the database answered late. */
const refusals = (database: FreshDatabase) =>
  database.query(
    `SELECT DISTINCT reason FROM audit_record WHERE outcome = 'refused' AND reason <> 'ledger_unavailable'`,
  )

test.concurrent('under load, on two replicas, no verifier with caches refuses one token, and none accepts a removed key', async ({
  database,
  start,
}) => {
  const issuer = 'http://localhost:1'
  const environment = { ...scheduleEnvironment(drillSchedule), MINTMARK_ISSUER: issuer }
  const [first, second] = [await start(environment), await start(environment)]
  const client = await registerClient(database)
  const expected = { issuer, clockSkewSeconds: 1 }
  const cache = { maxAgeSeconds: 1, cooldownSeconds: 1 }
  const verifiers = [first, second].map(({ url }, index) =>
    joseVerifier(`drill-${index}`, url, expected, cache),
  )

  // One token of each key, tried for ever after: as if it did not expire.
  const samples = new Map<string, string>()
  const lastAccepted = new Map<string, number>()
  let stopped = false
  const stale = joseVerifier('stale', second.url, { issuer, clockSkewSeconds: 3_600 }, cache)
  const trying = (async () => {
    while (!stopped) {
      for (const [kid, token] of samples) {
        const time = Date.now() / 1_000
        if ((await stale.verify(token)) === undefined) lastAccepted.set(kid, time)
      }
      await sleep(50)
    }
  })()
  const removedAt = async () => {
    const rows = await database.query<{ end: number }>(
      'SELECT extract(epoch FROM published_until)::float8 AS end FROM signing_key WHERE generation = $1',
      [removed],
    )
    return rows[0]?.end
  }
  // Until that key is gone for longer than caches live.
  let end: number | undefined
  const looking = setInterval(() => {
    removedAt().then(
      (found) => {
        end = found
      },
      () => {},
    )
  }, 500)
  const result = await drill(
    [() => requestToken(first.url, client), () => requestToken(second.url, client)],
    verifiers,
    () => end !== undefined && Date.now() / 1_000 > end + 4,
    (token, kid) => samples.set(kid, samples.get(kid) ?? token),
  )
  clearInterval(looking)
  stopped = true
  await trying

  expect(result.failures).toEqual([])
  expect(await refusals(database)).toEqual([])
  expect(result.kids.length).toBeGreaterThanOrEqual(removed + 1)
  expect(result.verified).toBeGreaterThan(100)
  const keys = await listKeys(first.service.database.prisma)
  expect(lastAccepted.size).toBeGreaterThan(0)
  for (const { kid, publishedUntil } of keys.slice(0, removed)) {
    // A key that had its turn while the machine was busy may have signed no token that was tried.
    expect(lastAccepted.get(kid) ?? 0).toBeLessThan(publishedUntil + 1 + 1 + 1)
  }
  expect(await kidsOf(first.url)).not.toContain(keys[removed - 1]?.kid)
})

test.concurrent('revoking the key that waits, under the tightest schedule, leaves no second without a key', async ({
  context,
  database,
  start,
}) => {
  const { url } = await start(scheduleEnvironment(drillSchedule))
  const client = await registerClient(database)
  const statuses = new Set<number>()
  for (let round = 0; round < rounds; round += 1) {
    await until(async () => (await kidsOf(url)).length > 1)
    const waiting = (await kidsOf(url)).at(-1)
    await revokeKey(context(drillSchedule), String(waiting))
    for (const end = Date.now() + 5_000; Date.now() < end; ) {
      const response = await requestToken(url, client)
      await response.arrayBuffer()
      statuses.add(response.status)
      await sleep(20)
    }
  }
  expect(statuses).toContain(200)
  expect(await refusals(database)).toEqual([])
})

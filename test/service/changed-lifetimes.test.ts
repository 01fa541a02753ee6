import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { rotate } from '../../src/keys/rotation.ts'
import type { ScheduleSettings } from '../../src/keys/state.ts'
import { listKeys } from '../../src/keys/store.ts'
import { jwks, kidIn, test, usual } from '../support/rotation.ts'
import {
  drillSchedule,
  orders,
  registerClient,
  requestToken,
  scheduleEnvironment,
  type TestClient,
} from '../support/service.ts'

/** The service is started again with other lifetimes, on the keys of the ones before. */

const halfAnHour: ScheduleSettings = { ...usual, keyLifetimeSeconds: 1_860, tokenLifetimeSecondsMax: 250 }
const aMinute: ScheduleSettings = {
  keyLifetimeSeconds: 60,
  tokenLifetimeSecondsMax: 5,
  jwksMaxAgeSeconds: 5,
  verifierCooldownSeconds: 2,
  clockSkewSeconds: 2,
}

interface Answer {
  readonly access_token: string
  readonly expires_in: number
}

async function answerOf(url: string, client: TestClient): Promise<Answer> {
  const response = await requestToken(url, client, { resource: orders })
  expect(response.status).toBe(200)
  return (await response.json()) as Answer
}

describe('raised lifetimes', () => {
  test('stop no token: it lives as long as the key that signs it allows, and a key with the longer life takes over', async ({
    context,
    database,
    start,
  }) => {
    const client = await registerClient(database)
    const before = await start(scheduleEnvironment(halfAnHour))
    const [old] = (await jwks(before.url)).keys
    expect((await answerOf(before.url, client)).expires_in).toBe(250)
    await before.close()
    await database.query('UPDATE resource SET token_lifetime_seconds = 3600 WHERE audience = $1', [orders])
    const after = await start()
    const { access_token, expires_in } = await answerOf(after.url, client)
    expect(kidIn(access_token)).toBe(old?.kid)
    const [first, second] = await listKeys(after.service.database.prisma)
    const { iat = 0, exp = 0 } = decodeJwt(access_token)
    expect(exp - iat).toBe(expires_in)
    expect(exp).toBe((first?.publishedUntil ?? 0) - 60)
    expect(expires_in).toBeGreaterThan(1_000)
    // One that fits is as long as it was asked for.
    await database.query('UPDATE resource SET token_lifetime_seconds = 300 WHERE audience = $1', [orders])
    expect((await answerOf(after.url, client)).expires_in).toBe(300)
    // The next key has its lead, and the life of the new settings.
    expect((second?.signsFrom ?? 0) - (second?.publishedAt ?? 0)).toBe(423)
    expect((second?.publishedUntil ?? 0) - (second?.signsFrom ?? 0)).toBe(60 * 86_400)
    expect((await jwks(after.url)).keys.map(({ kid }) => kid)).toEqual([first?.kid, second?.kid])
    expect(after.log()).toContain('"event":"key_created"')
    expect(after.log()).toContain('"event":"tokens_shortened"')
    const health = (await (await fetch(`${after.url}/readyz`)).json()) as { warnings: string[] }
    expect(health.warnings).toEqual(['tokens_shortened'])
    const plan = await rotate(context(usual), 'ES256', 'lead', false)
    expect(plan).toMatchObject({ kid: second?.kid, made: false, tokensEndBy: exp })
  })

  test('from a minute, with verifiers that have a set: the old key is published until the next one may sign', async ({
    database,
    start,
  }) => {
    const client = await registerClient(database)
    const before = await start(scheduleEnvironment(aMinute))
    const [old] = (await jwks(before.url)).keys
    await before.close()
    const after = await start()
    const { access_token, expires_in } = await answerOf(after.url, client)
    expect([kidIn(access_token), expires_in]).toEqual([old?.kid, 300])
    const [first, second] = await listKeys(after.service.database.prisma)
    expect(first?.publishedUntil).toBe((second?.signsFrom ?? 0) + 86_400 + 60)
    expect((second?.signsFrom ?? 0) - (second?.publishedAt ?? 0)).toBe(423)
    expect(after.log()).toContain('"event":"key_extended"')
    const outcomes = await database.query(
      `SELECT outcome FROM audit_record WHERE type = 'key' ORDER BY chain, seq`,
    )
    expect(outcomes).toEqual(['vouched', 'created', 'created', 'extended'].map((outcome) => ({ outcome })))
  })
})

test('lowered lifetimes: the next key waits until no cache holds a set of the longer max-age', async ({
  context,
  database,
  start,
}) => {
  const client = await registerClient(database)
  const before = await start()
  const { access_token } = await answerOf(before.url, client)
  await before.close()
  const after = await start(scheduleEnvironment(drillSchedule))
  const answer = await answerOf(after.url, client)
  expect([kidIn(answer.access_token), answer.expires_in]).toEqual([kidIn(access_token), 1])
  expect((await jwks(after.url)).keys.map(({ kid }) => kid)).toContain(kidIn(access_token))
  const { moments } = await rotate(context(drillSchedule), 'ES256', 'lead', false, 0)
  const waits = moments.signsFrom - moments.publishedAt
  expect(waits).toBeGreaterThan(280)
  expect(waits).toBeLessThan(330)
})

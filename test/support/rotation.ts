/** What the tests of rotating keys have in common. */
import { decodeProtectedHeader, type JSONWebKeySet } from 'jose'
import { expect } from 'vitest'
import { type Database, openDatabase } from '../../src/database/open.ts'
import type { RotationContext } from '../../src/keys/key-change.ts'
import { Keyring } from '../../src/keys/keyring.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import type { ScheduleSettings } from '../../src/keys/state.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import type { FreshDatabase } from './database.ts'
import { test as base } from './fixtures.ts'
import { orders, requestTokenPatiently, type TestClient, type TestService, testKey } from './service.ts'

/** A schedule as it is by default. */
export const usual: ScheduleSettings = {
  keyLifetimeSeconds: 90 * 86_400,
  tokenLifetimeSecondsMax: 86_400,
  jwksMaxAgeSeconds: 300,
  verifierCooldownSeconds: 60,
  clockSkewSeconds: 60,
}

/** How long a key of that schedule is published before it signs. */
export const lead = 300 + 60 + 60 + 3

export const test = base
  /** Starts a service on the database of the test. */
  .extend(
    'start',
    ({ startService }) =>
      (environment: Record<string, string> = {}, clock?: Clock): Promise<TestService> =>
        startService({ environment, ...(clock === undefined ? {} : { clock }) }),
  )
  /** What an operator's command rotates with: a connection of its own, a schedule, a key and a clock. */
  .extend('context', ({ database }, { onCleanup }) => {
    const opened: Database[] = []
    onCleanup(async () => {
      for (const each of opened) await each.close()
    })
    return (schedule = usual, key: Buffer = testKey, clock: Clock = systemClock): RotationContext => {
      const connected = openDatabase(database.url)
      opened.push(connected)
      const keys = [keyEncryptionKey(key)] as const
      const actor = { by: 'a test' }
      return { database: connected, clock, actor, schedule, keyEncryptionKeys: async () => keys }
    }
  })

/** The keys as a process on that database has them. */
export function keyringOf({ database, clock, schedule, keyEncryptionKeys }: RotationContext): Keyring {
  return new Keyring({
    database: database.statements,
    keyEncryptionKeys,
    schedule,
    now: clock.nowSeconds,
    onUnopened() {},
    onUnvouched() {},
  })
}

export async function jwks(url: string): Promise<JSONWebKeySet> {
  return (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as JSONWebKeySet
}

export async function kidsOf(url: string): Promise<(string | undefined)[]> {
  return (await jwks(url)).keys.map(({ kid }) => kid)
}

export async function tokenOf(url: string, client: TestClient, resource = orders): Promise<string> {
  const response = await requestTokenPatiently(url, client, { resource })
  const answer = (await response.json()) as { access_token?: string }
  expect(answer, `${response.status}`).toHaveProperty('access_token')
  return String(answer.access_token)
}

export const kidIn = (token: string): string | undefined => decodeProtectedHeader(token).kid

export async function generations(database: FreshDatabase, algorithm = 'ES256'): Promise<number[]> {
  const rows = await database.query<{ generation: number }>(
    'SELECT generation FROM signing_key WHERE algorithm = $1 ORDER BY generation',
    [algorithm],
  )
  return rows.map(({ generation }) => generation)
}

/** The machine's clocks, of which the wall clock can be moved. */
export function shiftedClock(seconds = 0) {
  let shift = seconds * 1_000
  const clock: Clock = {
    nowSeconds: () => Math.floor((Date.now() + shift) / 1_000),
    nowMilliseconds: () => Date.now() + shift,
    monotonicMilliseconds: () => performance.now(),
  }
  return {
    clock,
    jump(by: number) {
      shift += by * 1_000
    },
  }
}

/** When a key is due: what a check does before it creates one, and what it does while a process closes. */
import { expect } from 'vitest'
import { writeManifest } from '../../src/keys/manifest-store.ts'
import { leadSeconds, momentsFrom } from '../../src/keys/schedule.ts'
import { createKey, listKeys } from '../../src/keys/store.ts'
import { KeyUpkeep, type KeyUpkeepEvents } from '../../src/keys/upkeep.ts'
import { openVerifiers } from '../../src/keys/verifier-store.ts'
import { test as base, keyringOf, usual } from '../support/rotation.ts'
import { until } from '../support/wait.ts'

const silent: KeyUpkeepEvents = {
  onFailed() {},
  onRecovered() {},
  onMade() {},
  onRestored() {},
  onExtended() {},
  onShortened() {},
  onUnlisted() {},
}

const test = base.extend('upkeepWith', ({ context }) => {
  const rotation = context()
  return {
    rotation,
    open(noteFetches: () => Promise<void>, reliable = true) {
      const keyring = keyringOf(rotation)
      const upkeep = new KeyUpkeep({
        rotation,
        keyring,
        configured: ['ES256'],
        clockGuard: { reliable },
        noteFetches,
        events: silent,
      })
      return { keyring, upkeep }
    },
  }
})

test('a key that is due after a pause waits for caches that were filled here a moment ago', async ({
  upkeepWith,
}) => {
  const { rotation, open } = upkeepWith
  const { database, clock, keyEncryptionKeys } = rotation
  const now = clock.nowSeconds()
  const keys = await keyEncryptionKeys()
  // It is still in the set, and its turn is over: the database was away when the next one was due.
  const old = { ...momentsFrom(now - 60 * 86_400, now - 50 * 86_400, usual), publishedUntil: now + 30 }
  const kid = await createKey(database.prisma, keys[0], 'ES256', 1, old)
  await writeManifest(database.prisma, keys, [{ kid: String(kid), moments: old }])
  const verifiers = openVerifiers(database.statements, () => {})
  const fetched = { name: 'orders', address: '192.0.2.1', userAgent: undefined, kids: [String(kid)] }
  verifiers.note({ ...fetched, time: clock.nowMilliseconds() })
  const { keyring, upkeep } = open(async () => await verifiers.writeNow())
  await keyring.load()
  await upkeep.open()
  await upkeep.close()
  await verifiers.close()
  const [, next] = await listKeys(database.prisma)
  expect((next?.signsFrom ?? 0) - (next?.publishedAt ?? 0)).toBe(leadSeconds(usual))
})

test('without knowing who fetched the set, no key is created', async ({ upkeepWith }) => {
  const { rotation, open } = upkeepWith
  const { keyring, upkeep } = open(() => Promise.reject(new Error('away')))
  await keyring.load()
  await expect(upkeep.open()).rejects.toThrow('away')
  expect(await listKeys(rotation.database.prisma)).toEqual([])
})

test('a check that is wanted while one is under way follows it, and none begins once it is closed', async ({
  upkeepWith,
}) => {
  let checks = 0
  let isOver: Promise<void> = Promise.resolve()
  const { keyring, upkeep } = upkeepWith.open(async () => {
    checks += 1
    await isOver
  })
  // Nothing that signs, so that each check finds a key due, and a row that nobody vouches for.
  const found = { keys: [], needsVouching: true, load: async () => {} }
  for (const [name, value] of Object.entries(found)) Object.defineProperty(keyring, name, { value })
  await upkeep.open()
  await until(async () => checks === 2)
  const { promise, resolve } = Promise.withResolvers<void>()
  isOver = promise
  await until(async () => {
    upkeep.checkSoon()
    return checks === 3
  })
  upkeep.checkSoon()
  resolve()
  await until(async () => checks === 4)
  await upkeep.close()
  upkeep.checkSoon()
  await upkeep.close()
  expect(checks).toBe(4)
})

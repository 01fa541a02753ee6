/** What is older than what is known already. */
import { expect, test } from 'vitest'
import { BehindError, isBehind } from '../../src/database/history.ts'
import { loadKeys } from '../../src/keys/store.ts'

const version = (counter: number, tail: number): number => counter * 2 ** 20 + tail

test('a lower counter, and the same counter with another tail, are behind', () => {
  expect(isBehind(version(4, 9), version(5, 1))).toBe(true)
  expect(isBehind(version(5, 9), version(5, 1))).toBe(true)
  expect(isBehind(version(5, 1), version(5, 9))).toBe(true)
  expect(isBehind(version(5, 1), version(5, 1))).toBe(false)
  expect(isBehind(version(6, 0), version(5, 9))).toBe(false)
  // Beyond 32 bits.
  expect(isBehind(version(2 ** 30, 1), version(2 ** 30 - 1, 5))).toBe(false)
  expect(isBehind(version(2 ** 30 - 1, 5), version(2 ** 30, 1))).toBe(true)
})

test('keys that belong to an older version are not taken', async () => {
  const database = {
    $queryRaw: async () => [{ registryVersion: String(version(4, 1)) }] as never,
    $executeRaw: async () => 0,
  }
  const load = (known: number) =>
    loadKeys(
      database,
      async () => [],
      () => false,
      new Map(),
      known,
    )
  await expect(load(version(5, 1))).rejects.toThrow(BehindError)
  await expect(load(version(4, 1))).rejects.not.toThrow(BehindError)
})

/** What is older than what is known already. */
import { expect, test } from 'vitest'
import { isBehind } from '../../src/database/history.ts'

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

/** Expired identifiers are deleted now and then, some at a time, by a process that goes on whatever the database says. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Statements } from '../../src/database/open.ts'
import { openSpentIdentifierUpkeep } from '../../src/ledger/spent-identifier-store.ts'
import { limits } from '../../src/limits.ts'

const { spentIdentifierDeletionMilliseconds: interval, spentIdentifiersPerDeletionMax: most } = limits

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** @param deleted what the statements delete, one after the other; an error is thrown. */
function upkeep(deleted: readonly (number | Error | Promise<number>)[]) {
  const statements: string[] = []
  const faults: unknown[] = []
  const database = {
    async $executeRaw(text: TemplateStringsArray) {
      statements.push(text.join('?'))
      const next = deleted[statements.length - 1] ?? 0
      if (next instanceof Error) throw next
      return await next
    },
  } as unknown as Statements
  const opened = openSpentIdentifierUpkeep(database, 60, (error) => faults.push(error))
  return { statements, faults, close: () => opened.close() }
}

test('nothing is deleted before the first interval, and nothing after the close', async () => {
  const { statements, close } = upkeep([])
  await vi.advanceTimersByTimeAsync(interval - 1)
  expect(statements).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(statements).toEqual([expect.stringContaining('DELETE FROM spent_identifier')])
  await close()
  await vi.advanceTimersByTimeAsync(3 * interval)
  expect(statements).toHaveLength(1)
})

test('a full part is followed by the next at once, and a part that is not full by a pause', async () => {
  const { statements, close } = upkeep([most, most, most - 1, 0])
  await vi.advanceTimersByTimeAsync(interval)
  expect(statements).toHaveLength(3)
  await vi.advanceTimersByTimeAsync(interval)
  expect(statements).toHaveLength(4)
  await close()
})

test('a fault is told, and the next interval tries again', async () => {
  const fault = new Error('away')
  const { statements, faults, close } = upkeep([fault, most, 0])
  await vi.advanceTimersByTimeAsync(interval)
  expect([statements.length, faults]).toEqual([1, [fault]])
  await vi.advanceTimersByTimeAsync(interval)
  expect([statements.length, faults]).toEqual([3, [fault]])
  await close()
})

test('one that takes long is not begun twice, and a close waits for it and begins no further part', async () => {
  const { promise, resolve } = Promise.withResolvers<number>()
  const { statements, close } = upkeep([promise])
  await vi.advanceTimersByTimeAsync(3 * interval)
  expect(statements).toHaveLength(1)
  let isClosed = false
  const closing = close().then(() => {
    isClosed = true
  })
  await vi.advanceTimersByTimeAsync(1)
  expect(isClosed).toBe(false)
  resolve(most)
  await closing
  expect(statements).toHaveLength(1)
})

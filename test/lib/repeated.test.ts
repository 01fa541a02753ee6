import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Repeated, repeat } from '../../src/lib/repeated.ts'

let begun: number
let finish: (() => void)[]
let faults: unknown[]
let repeated: Repeated

beforeEach(() => {
  vi.useFakeTimers()
  begun = 0
  finish = []
  faults = []
  const work = (): Promise<void> => {
    begun += 1
    return new Promise((resolve) => finish.push(resolve))
  }
  repeated = repeat(1_000, work, (error) => faults.push(error))
})
afterEach(() => {
  vi.useRealTimers()
})

const isSettled = async (promise: Promise<void>): Promise<boolean> => {
  let settled = false
  void promise.then(() => {
    settled = true
  })
  await vi.advanceTimersByTimeAsync(0)
  return settled
}

test('it begins after the time, and not again before it is done', async () => {
  await vi.advanceTimersByTimeAsync(999)
  expect(begun).toBe(0)
  await vi.advanceTimersByTimeAsync(3_001)
  expect(begun).toBe(1)
  finish.pop()?.()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(begun).toBe(2)
})

test('whoever wants it now shares what is under way', async () => {
  const [one, other] = [repeated.now(), repeated.now()]
  expect(begun).toBe(1)
  expect(await isSettled(one)).toBe(false)
  finish.pop()?.()
  expect(await isSettled(other)).toBe(true)
  const idle = repeated.idle()
  expect(await isSettled(idle)).toBe(true)
})

test('whoever wants it again waits until it is done once more, and shares that', async () => {
  const first = repeated.again()
  const [one, other] = [repeated.again(), repeated.again()]
  expect(begun).toBe(1)
  finish.pop()?.()
  expect(await isSettled(first)).toBe(true)
  expect([begun, await isSettled(one)]).toEqual([2, false])
  finish.pop()?.()
  expect(await isSettled(other)).toBe(true)
  expect(begun).toBe(2)
})

test('to close waits for what is under way, and nothing begins any more', async () => {
  await vi.advanceTimersByTimeAsync(1_000)
  const closed = repeated.close()
  expect(await isSettled(repeated.idle())).toBe(false)
  expect(await isSettled(closed)).toBe(false)
  void repeated.again()
  finish.pop()?.()
  expect(await isSettled(closed)).toBe(true)
  await Promise.all([repeated.now(), repeated.again()])
  await vi.advanceTimersByTimeAsync(5_000)
  expect(begun).toBe(1)
})

test('what fails is told and tried again, also if it fails at once', async () => {
  const reasons: unknown[] = []
  let tries = 0
  const failing = repeat(
    1_000,
    () => {
      tries += 1
      if (tries === 1) throw new Error('at once')
      return Promise.reject(new Error('later'))
    },
    (error) => reasons.push(error),
  )
  await vi.advanceTimersByTimeAsync(2_000)
  await failing.close()
  expect(reasons).toEqual([new Error('at once'), new Error('later')])
})

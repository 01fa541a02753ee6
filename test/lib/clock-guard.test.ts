/** A clock that jumps is noticed before it does harm, and believed again only when the database agrees. */
import { describe, expect, test } from 'vitest'
import { clockToleranceSeconds, createClockGuard, offSeconds } from '../../src/lib/clock-guard.ts'

const hour = 3_600

/** A machine whose clocks are moved by hand. */
function machine(clockSkewSeconds = 60) {
  let monotonic = 5_000
  let wall = 1_800_000_000_000
  const changes: [boolean, number][] = []
  const guard = createClockGuard({
    clock: {
      nowSeconds: () => Math.floor(wall / 1_000),
      nowMilliseconds: () => wall,
      monotonicMilliseconds: () => monotonic,
    },
    clockSkewSeconds,
    onChange: (reliable, off) => changes.push([reliable, Math.round(off)]),
  })
  const world = {
    guard,
    changes,
    seconds: () => wall / 1_000,
    pass(seconds: number) {
      monotonic += seconds * 1_000
      wall += seconds * 1_000
    },
    jump(seconds: number) {
      wall += seconds * 1_000
    },
    /** The database is asked each second, and its clock is right. */
    agree(seconds: number) {
      for (let second = 0; second < seconds; second += 1) {
        world.pass(1)
        guard.check(wall / 1_000, 0)
      }
    },
  }
  return world
}

test('while nothing jumps it is reliable, for years', () => {
  const { guard, changes, pass, agree, seconds } = machine()
  for (let day = 0; day < 1_000; day += 1) {
    pass(86_400)
    expect(guard.reliable).toBe(true)
  }
  agree(10)
  expect(guard.trustedSeconds).toBe(seconds())
  expect(changes).toEqual([])
})

describe.each([hour, -hour, 6, -6])('a jump by %i s', (by) => {
  test('is noticed by whoever asks next, before the database said anything', () => {
    const { guard, jump, changes } = machine()
    jump(by)
    expect(guard.reliable).toBe(false)
    expect(guard.reliable).toBe(false)
    expect(changes).toEqual([[false, by]])
  })

  test('does not move the time that is trusted, which goes on', () => {
    const { guard, jump, pass, seconds } = machine()
    const before = seconds()
    jump(by)
    expect(guard.trustedSeconds).toBe(before)
    pass(30)
    expect(guard.trustedSeconds).toBe(before + 30)
  })

  test('that is undone is forgotten when the database has agreed for ten seconds', () => {
    const { guard, jump, changes, agree, seconds } = machine()
    jump(by)
    expect(guard.reliable).toBe(false)
    jump(-by)
    agree(10)
    expect(guard.reliable).toBe(false)
    agree(1)
    expect(guard.reliable).toBe(true)
    expect(guard.trustedSeconds).toBe(seconds())
    expect(changes).toEqual([
      [false, by],
      [true, 0],
    ])
  })

  test('that brought the clock to the right time is accepted', () => {
    const { guard, jump, agree, seconds } = machine()
    jump(by)
    agree(11)
    expect(guard.reliable).toBe(true)
    expect(guard.trustedSeconds).toBe(seconds())
  })
})

test('a jump that the database does not follow is doubted for as long as it lasts', () => {
  const { guard, jump, pass, seconds } = machine()
  jump(hour)
  for (let second = 0; second < 100; second += 1) {
    pass(1)
    guard.check(seconds() - hour, 0)
    expect(guard.reliable).toBe(false)
  }
})

test('agreement has to last: another jump starts it again', () => {
  const { guard, jump, agree } = machine()
  jump(hour)
  agree(8)
  jump(-hour)
  agree(8)
  expect(guard.reliable).toBe(false)
  agree(3)
  expect(guard.reliable).toBe(true)
})

test('a clock that drifts slowly is noticed at half of the allowed difference, so that no two clocks differ by more', () => {
  const { guard, jump, pass, seconds } = machine(60)
  let off = 0
  while (guard.reliable && off < 100) {
    jump(1)
    off += 1
    pass(1)
    guard.check(seconds() - off, 0)
  }
  expect(off).toBe(31)
  expect(clockToleranceSeconds(60)).toBe(30)
  expect(clockToleranceSeconds(0)).toBe(0.25)
})

test('how long the database took to answer is no doubt about the clock', () => {
  const { guard, seconds, pass } = machine(1)
  for (const took of [0, 0.9, 5, 60]) {
    const databaseSeconds = seconds()
    pass(took)
    guard.check(databaseSeconds, took)
    expect(guard.reliable, String(took)).toBe(true)
  }
  expect(offSeconds(100, 90, 4)).toBe(6)
  expect(offSeconds(100, 97, 4)).toBe(0)
  expect(offSeconds(100, 103, 4)).toBe(-3)
})

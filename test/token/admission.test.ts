import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import { Admission } from '../../src/token/admission.ts'

/** How many are worked on at a time: as many as were lately answered in the time that an answer may take. */

const {
  admissionWindowMilliseconds: window,
  requestsUnderWayMax: most,
  requestsBegunMin: least,
  commitTimeoutMilliseconds: patience,
} = limits

/** Callers of one process, on a clock that the test moves. */
function process() {
  let now = 5_000
  const admission = new Admission(() => now)
  const begun: number[] = []
  const refused: number[] = []
  const answered: number[] = []
  let number = 0
  return {
    admission,
    begun,
    answered,
    refused,
    pass(milliseconds: number): void {
      now += milliseconds
    },
    /** Another one comes, if it is let in. */
    come(isGone = () => false): number {
      const own = number
      number += 1
      const waits = admission.enter(isGone)
      if (waits === undefined) begun.push(own)
      else
        waits.then(
          () => begun.push(own),
          () => refused.push(own),
        )
      return own
    },
  }
}

/** Comes as often as it is let in, at a machine that answers so many in a second, for some windows. */
async function crowd(
  { admission, begun, answered, come, pass }: ReturnType<typeof process>,
  windows: number,
  perSecond: number,
): Promise<void> {
  let owed = 0
  for (let count = 0; count < (windows * window) / 10; count += 1) {
    while (!admission.isFull) come()
    for (owed += perSecond / 100; owed >= 1 && answered.length < begun.length; owed -= 1) {
      answered.push(0)
      admission.leave(true)
      await Promise.resolve()
    }
    pass(10)
  }
}

test('a fast machine begins all that is let in, and a slow one what it answers in time', async () => {
  const fast = process()
  await crowd(fast, 20, 20_000)
  expect(fast.admission.limit).toBe(most)
  const slow = process()
  await crowd(slow, 20, 1_500)
  expect(slow.admission.limit / 1_500).toBeCloseTo(limits.answerMillisecondsAim / 1_000, 1)
  const slowest = process()
  await crowd(slowest, 20, 40)
  expect(slowest.admission.limit).toBe(least)
})

test('it finds back', async () => {
  const machine = process()
  await crowd(machine, 20, 40)
  expect(machine.admission.limit).toBe(least)
  await crowd(machine, 40, 20_000)
  expect(machine.admission.limit).toBe(most)
})

test('few callers say nothing about how many could be answered, and a pause without any is none', () => {
  const { admission, come, pass, begun } = process()
  const { limit } = admission
  for (let count = 0; count < 100; count += 1) {
    pass(count * window)
    expect(admission.isFull).toBe(false)
    come()
    admission.leave(true)
  }
  expect(begun).toHaveLength(100)
  expect(admission.limit).toBe(limit)
})

test('requests that are let in and not begun wait in line, in the order in which they came; one whose caller has gone is skipped', async () => {
  const { admission, come, begun, refused } = process()
  for (let count = admission.limit; count > 0; count -= 1) come()
  const [first, gone, second] = [come(), come(() => true), come()]
  expect(begun).toHaveLength(admission.limit)
  admission.leave(true)
  admission.leave(true)
  // One that comes now does not overtake them.
  const last = come()
  await Promise.resolve()
  expect(begun.slice(admission.limit)).toEqual([first, second])
  expect(refused).toEqual([gone])
  admission.leave(true)
  await Promise.resolve()
  expect(begun.at(-1)).toBe(last)
  // Who ends makes room for one, and not for the whole line.
  const [next] = [come(), come()]
  admission.leave(true)
  await Promise.resolve()
  expect(begun.at(-1)).toBe(next)
})

test('no more requests are let in than may be under way, together with those in line; more are refused', async () => {
  const { admission, come, refused } = process()
  let count = 0
  for (; !admission.isFull; count += 1) come()
  expect(count).toBe(most)
  const late = come()
  await Promise.resolve()
  expect(refused).toEqual([late])
})

test('when a line does not move, its requests and new ones are refused; after the next answer it moves again', async () => {
  const { admission, come, refused, pass } = process()
  for (let count = admission.limit; count > 0; count -= 1) come()
  const waiting = come()
  pass(patience)
  expect(admission.isFull).toBe(false)
  pass(1)
  expect(admission.isFull).toBe(true)
  admission.leave(false)
  await Promise.resolve()
  expect(refused).toEqual([waiting])
  // Now and then one is let in, to see whether the database is back.
  while (admission.isFull) admission.leave(false)
  come()
  admission.leave(true)
  expect(admission.isFull).toBe(false)
})

test('one that came too late ends the waiting of nobody, while others are answered', async () => {
  const { admission, come, begun, refused } = process()
  for (let count = admission.limit; count > 0; count -= 1) come()
  const [first] = [come(), come()]
  admission.leave(false)
  await Promise.resolve()
  expect({ last: begun.at(-1), refused }).toEqual({ last: first, refused: [] })
})

test('those that were refused take no place', async () => {
  const { admission, come, pass, begun } = process()
  const atFirst = admission.limit
  for (let count = 0; count < atFirst + 10; count += 1) come()
  pass(patience + 1)
  for (let count = 0; count < atFirst; count += 1) admission.leave(false)
  await Promise.resolve()
  const { limit } = admission
  for (let count = 0; count < limit + 10; count += 1) come()
  expect(begun).toHaveLength(atFirst + limit)
})

test('a line stands still since something was last answered, not since somebody began', () => {
  const { admission, come, pass } = process()
  for (let count = admission.limit - 1; count > 0; count -= 1) come()
  pass(patience)
  come()
  expect(admission.isFull).toBe(false)
  pass(1)
  expect(admission.isFull).toBe(true)
})

test('after a time without callers many may come at once', () => {
  const { admission, come, pass } = process()
  pass(100 * patience)
  let count = 0
  for (; !admission.isFull; count += 1) come()
  expect(count).toBe(most)
})

test('a pause takes half of what was learnt, at most', () => {
  const { admission, come, pass } = process()
  const { limit } = admission
  for (let count = limit; count > 0; count -= 1) come()
  pass(window)
  admission.leave(false)
  expect(admission.limit).toBe(limit / 2)
  pass(window)
  admission.leave(false)
  expect(admission.limit).toBe(limit / 4)
})

test('work counts until it ends, and as answered unless it came too late', async () => {
  const { admission, come, pass } = process()
  const { limit } = admission
  const all = async (work: () => Promise<unknown>) => {
    await Promise.allSettled(Array.from({ length: limit }, () => admission.count(work())))
    pass(window)
    expect(admission.isFull).toBe(false)
  }
  for (let count = limit; count > 0; count -= 1) come()
  const refuse = (reason: 'client_unknown' | 'ledger_unavailable') => () =>
    Promise.reject(new OAuthError(reason))
  await all(refuse('client_unknown'))
  expect(admission.limit).toBeGreaterThan(limit)
  for (let count = 0; count < limit; count += 1) come()
  await all(() => Promise.resolve())
  expect(admission.limit).toBeGreaterThan(limit)
  for (let count = 0; count < limit; count += 1) come()
  await all(refuse('ledger_unavailable'))
  expect(admission.limit).toBeLessThan(limit)
})

test('work that waits for others takes no place, and lets the line move', async () => {
  let [now, waiting] = [0, 0]
  const admission = new Admission(
    () => now,
    () => waiting,
  )
  const { limit } = admission
  const isGone = () => false
  for (let count = 0; count < limit; count += 1) expect(admission.enter(isGone)).toBeUndefined()
  const inLine = admission.enter(isGone)
  expect(inLine).toBeDefined()
  waiting = limit
  admission.moveLine()
  await inLine
  for (now = 0; now < 20 * window; now += window) expect(admission.isFull).toBe(false)
  expect(admission.enter(isGone)).toBeUndefined()
  expect(admission.limit).toBeGreaterThanOrEqual(limit / 2)
})

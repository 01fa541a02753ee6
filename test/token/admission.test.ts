import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import { Admission } from '../../src/token/admission.ts'

/** How many are let in: as many as were lately answered in the time that an answer may take. */

const { admissionWindowMilliseconds: window, requestsUnderWayMax: most, requestsUnderWayMin: least } = limits

/** Lets in as many as it may for some windows, on a machine that answers so many in a second. */
function crowd(admission: Admission, from: number, windows: number, perSecond: number): number {
  let underWay = 0
  let owed = 0
  let now = from
  for (; now < from + windows * window; now += 10) {
    while (!admission.isFull(now)) {
      admission.enter()
      underWay += 1
    }
    owed += perSecond / 100
    for (; owed >= 1 && underWay > 0; owed -= 1) {
      admission.leave(true)
      underWay -= 1
    }
  }
  for (; underWay > 0; underWay -= 1) admission.leave(true)
  return now
}

test('a fast machine lets in the most, and a slow one what it answers in time', () => {
  const fast = new Admission(0)
  crowd(fast, 0, 20, 20_000)
  expect(fast.limit).toBe(most)
  const slow = new Admission(0)
  crowd(slow, 0, 20, 1_500)
  expect(slow.limit / 1_500).toBeCloseTo(limits.answerMillisecondsAim / 1_000, 1)
  const slowest = new Admission(0)
  crowd(slowest, 0, 20, 10)
  expect(slowest.limit).toBe(least)
})

test('it finds back', () => {
  const admission = new Admission(0)
  const now = crowd(admission, 0, 20, 10)
  expect(admission.limit).toBe(least)
  crowd(admission, now, 20, 20_000)
  expect(admission.limit).toBe(most)
})

test('few callers say nothing about how many could be answered', () => {
  const admission = new Admission(0)
  const { limit } = admission
  for (let now = 0; now < 100 * window; now += window / 5) {
    expect(admission.isFull(now)).toBe(false)
    admission.enter()
    admission.leave(true)
  }
  expect(admission.limit).toBe(limit)
})

test('what was refused for want of time was not answered; a pause takes half at most', () => {
  const admission = new Admission(0)
  const { limit } = admission
  while (!admission.isFull(0)) admission.enter()
  for (let count = 0; count < limit; count += 1) admission.leave(false)
  expect(admission.isFull(window)).toBe(false)
  expect(admission.limit).toBe(limit / 2)
})

test('those that are under way stay under way in the next window', () => {
  const admission = new Admission(0)
  while (!admission.isFull(0)) admission.enter()
  const { limit } = admission
  expect(admission.isFull(window)).toBe(true)
  expect(admission.isFull(2 * window)).toBe(true)
  expect(admission.limit).toBe(Math.max(limit / 4, least))
})

test('a request counts until it is decided; only one that came too late was not answered', async () => {
  const admission = new Admission(0)
  const { limit } = admission
  const decide = (results: readonly Promise<unknown>[]) =>
    Promise.allSettled(results.map((result) => admission.count(result)))
  const late = () => Promise.reject(new OAuthError('ledger_unavailable'))
  const under = decide([new Promise(() => {})])
  await decide(Array.from({ length: limit }, late))
  admission.isFull(window)
  expect(admission.limit).toBe(limit / 2)
  await decide(Array.from({ length: limit }, () => Promise.reject(new OAuthError('client_unknown'))))
  admission.isFull(2 * window)
  expect(admission.limit).toBeGreaterThan(limit / 2)
  while (!admission.isFull(2 * window)) admission.enter()
  admission.leave(true)
  expect(admission.isFull(2 * window)).toBe(false)
  void under
})

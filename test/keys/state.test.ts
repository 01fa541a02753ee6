/** The state of a key depends on the others of its algorithm as well: an early turn ends one, a late one lets it go on. */
import { describe, expect, test } from 'vitest'
import {
  isOver,
  type KeyState,
  latestKey,
  type ScheduleSettings,
  type SiblingKey,
  stateAmong,
  turnEndAmong,
  waitingKey,
} from '../../src/keys/state.ts'

/** Tokens of 20 s and clocks 5 s apart: `first` may sign until 375. */
const settings: ScheduleSettings = {
  keyLifetimeSeconds: 300,
  tokenLifetimeSecondsMax: 20,
  jwksMaxAgeSeconds: 30,
  verifierCooldownSeconds: 10,
  clockSkewSeconds: 5,
}
const first: SiblingKey = {
  kid: 'first',
  algorithm: 'ES256',
  generation: 1,
  publishedAt: 100,
  signsFrom: 200,
  signsUntil: 300,
  publishedUntil: 400,
  revokedAt: undefined,
}
const second: SiblingKey = {
  ...first,
  kid: 'second',
  generation: 2,
  publishedAt: 150,
  signsFrom: 300,
  signsUntil: 400,
  publishedUntil: 500,
}

describe('the state of a key among its siblings', () => {
  const stateOf = (key: SiblingKey, keys: SiblingKey[], at: number, now = at): KeyState =>
    stateAmong(key, keys, settings, at, now)

  test.each<[number, KeyState, KeyState]>([
    [99, 'waiting', 'waiting'],
    [100, 'published', 'waiting'],
    [199, 'published', 'published'],
    [200, 'signing', 'published'],
    [299, 'signing', 'published'],
    [300, 'retiring', 'signing'],
    [399, 'retiring', 'signing'],
    [400, 'removed', 'signing'],
    [500, 'removed', 'removed'],
  ])('at %i the first is %s and the second %s', (at, one, other) => {
    for (const keys of [
      [first, second],
      [second, first],
    ]) {
      expect(stateOf(first, keys, at)).toBe(one)
      expect(stateOf(second, keys, at)).toBe(other)
    }
  })

  test('an early turn of the next ends the turn of the one before', () => {
    const early = { ...second, signsFrom: 250 }
    expect(stateOf(first, [first, early], 249)).toBe('signing')
    expect(stateOf(first, [first, early], 250)).toBe('retiring')
    expect(stateOf(early, [first, early], 250)).toBe('signing')
  })

  test('a key whose successor is late goes on for as long as it may', () => {
    const late = { ...second, signsFrom: 390 }
    for (const keys of [[first], [first, late]]) {
      expect(stateOf(first, keys, 375)).toBe('signing')
      expect(stateOf(first, keys, 376)).toBe('retiring')
    }
  })

  test('after now a turn ends when it is planned to: the next key may still be made', () => {
    expect(stateOf(first, [first], 299, 250)).toBe('signing')
    expect(stateOf(first, [first], 300, 250)).toBe('retiring')
    expect(stateOf(first, [first], 300, 299)).toBe('retiring')
    expect(stateOf(first, [first], 300, 300)).toBe('signing')
    expect(stateOf(first, [first], 300, 310)).toBe('signing')
  })

  test('a key of another algorithm is no sibling', () => {
    const other: SiblingKey = { ...second, algorithm: 'RS256', signsFrom: 250 }
    expect(stateOf(first, [first, other], 260)).toBe('signing')
    expect(stateOf(other, [first, other], 260)).toBe('signing')
  })

  test('before a key was revoked it was a key like any other', () => {
    const early = { ...second, signsFrom: 250, revokedAt: 280 }
    expect(stateOf(first, [first, early], 279, 290)).toBe('retiring')
    expect(stateOf(early, [first, early], 279, 290)).toBe('signing')
    expect(stateOf(first, [first, early], 280, 290)).toBe('signing')
    expect(stateOf(early, [first, early], 280, 290)).toBe('revoked')
    expect(stateOf(early, [first, early], 200, 290)).toBe('published')
  })

  test('a key that is not listed has a state, and signs nothing', () => {
    expect(stateOf(first, [], 150)).toBe('published')
    expect(stateOf(first, [], 250)).toBe('retiring')
    expect(stateOf(first, [second], 250)).toBe('retiring')
  })
})

describe('the end of the turn', () => {
  const endOf = (key: SiblingKey, ...others: SiblingKey[]) => turnEndAmong(key, [key, ...others], settings)

  test('is as planned where nothing follows, and where the next is on time', () => {
    expect(endOf(first)).toBe(300)
    expect(endOf(first, second)).toBe(300)
    expect(endOf(second, first)).toBe(400)
  })

  test.each([
    [250, 250],
    [340, 340],
    [376, 376],
    // This one may not sign until then: its turn ended as planned, and nothing signed for a while.
    [377, 300],
    [390, 300],
  ])('where the next signs from %i it is %i', (signsFrom, end) => {
    expect(endOf(first, { ...second, signsFrom })).toBe(end)
  })

  test('is the beginning of the first turn that follows', () => {
    const third = { ...second, kid: 'third', generation: 3, signsFrom: 260 }
    expect(endOf(first, second, third)).toBe(260)
    expect(endOf(first, third, second)).toBe(260)
  })

  test('does not depend on a key of another algorithm or on one before', () => {
    expect(endOf(first, { ...second, algorithm: 'RS256', signsFrom: 250 })).toBe(300)
    expect(endOf(second, { ...first, signsFrom: 350 })).toBe(400)
    expect(endOf(second, { ...first, generation: 2, signsFrom: 350 })).toBe(400)
  })

  test('does not depend on one that was revoked before its turn', () => {
    expect(endOf(first, { ...second, signsFrom: 250, revokedAt: 250 })).toBe(300)
    expect(endOf(first, { ...second, signsFrom: 250, revokedAt: 240 })).toBe(300)
    expect(endOf(first, { ...second, signsFrom: 250, revokedAt: 251 })).toBe(250)
  })

  test('is there for a revoked key only if it had a turn', () => {
    expect(endOf({ ...first, revokedAt: 199 })).toBeUndefined()
    expect(endOf({ ...first, revokedAt: 200 })).toBeUndefined()
    expect(endOf({ ...first, revokedAt: 201 })).toBe(201)
    expect(endOf({ ...first, revokedAt: 320 })).toBe(300)
  })

  test('of a revoked key that another follows at once is when it was revoked', () => {
    const revoked = { ...first, revokedAt: 250 }
    // The one that takes over is dated earlier by as much as clocks may be apart.
    expect(endOf(revoked, { ...second, signsFrom: 245 })).toBe(250)
    expect(endOf(revoked, { ...second, signsFrom: 248 })).toBe(250)
    expect(endOf(revoked, { ...second, signsFrom: 244 })).toBe(244)
  })

  test('of a revoked key that went on past its turn is the beginning of the next, if that came before', () => {
    expect(endOf({ ...first, revokedAt: 340 }, { ...second, signsFrom: 330 })).toBe(330)
  })
})

test('a key is over when it is revoked, or when no clock that is allowed publishes it any more', () => {
  expect(isOver(first, settings, 404)).toBe(false)
  expect(isOver(first, settings, 405)).toBe(true)
  expect(isOver({ ...first, revokedAt: 10_000 }, settings, 0)).toBe(true)
})

test('the latest key is the latest generation that was not revoked, in whatever order they come', () => {
  const third = { ...second, kid: 'third', generation: 3, revokedAt: 10 }
  for (const keys of [
    [first, second, third],
    [third, second, first],
  ]) {
    expect(latestKey(keys)?.kid).toBe('second')
  }
  expect(latestKey([third])).toBeUndefined()
  expect(latestKey([])).toBeUndefined()
})

test('a key waits until the second in which it may sign, unless it was revoked', () => {
  expect(waitingKey([first, second], 299)?.kid).toBe('second')
  expect(waitingKey([first, second], 300)).toBeUndefined()
  expect(waitingKey([{ ...second, revokedAt: 10 }], 299)).toBeUndefined()
})

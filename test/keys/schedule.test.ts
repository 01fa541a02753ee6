/** What a key may do follows from its moments and now, from its very second on; and what it may never do again. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isPublished,
  type KeyMoments,
  type KeyState,
  keyState,
  signingKeyAt,
} from '../../src/keys/schedule.ts'

const key: KeyMoments = {
  publishedAt: 100,
  signsFrom: 200,
  signsUntil: 300,
  publishedUntil: 400,
  revokedAt: undefined,
}

describe('the state of a key', () => {
  test.each<[number, KeyState]>([
    [0, 'waiting'],
    [99, 'waiting'],
    [100, 'published'],
    [199, 'published'],
    [200, 'signing'],
    [299, 'signing'],
    [300, 'retiring'],
    [399, 'retiring'],
    [400, 'removed'],
    [1_000_000, 'removed'],
  ])('at %i is %s', (now, state) => {
    expect(keyState(key, now)).toBe(state)
  })

  test('without an end it signs on', () => {
    const endless = { ...key, signsUntil: undefined, publishedUntil: undefined }
    expect(keyState(endless, 1_000_000)).toBe('signing')
    expect(keyState({ ...endless, signsUntil: 300 }, 1_000_000)).toBe('retiring')
  })

  test('the very first key is published and signs in the same second', () => {
    expect(keyState({ ...key, publishedAt: 100, signsFrom: 100 }, 100)).toBe('signing')
  })

  test.each([0, 100, 200, 300, 400])('revoked at %i it is nothing else from then on', (revokedAt) => {
    const revoked = { ...key, revokedAt }
    for (const now of [0, 99, 100, 199, 200, 299, 300, 399, 400, 500]) {
      expect(keyState(revoked, now)).toBe(now >= revokedAt ? 'revoked' : keyState(key, now))
    }
  })
})

/** Moments in the order that the database insists on. */
const moments: fc.Arbitrary<KeyMoments> = fc
  .tuple(fc.nat(50), fc.nat(50), fc.option(fc.nat(50)), fc.option(fc.nat(50)), fc.option(fc.nat(200)))
  .map(([publishedAt, wait, signing, retiring, revokedAt]) => {
    const signsFrom = publishedAt + wait
    const signsUntil = signing === null ? undefined : signsFrom + signing
    const publishedUntil = signsUntil === undefined || retiring === null ? undefined : signsUntil + retiring
    return { publishedAt, signsFrom, signsUntil, publishedUntil, revokedAt: revokedAt ?? undefined }
  })

describe('in every schedule', () => {
  test('a key that signs is published, and a revoked one neither signs nor is published (P5)', () => {
    fc.assert(
      fc.property(moments, fc.nat(250), (some, now) => {
        const state = keyState(some, now)
        if (state === 'signing') expect(isPublished(some, now)).toBe(true)
        expect(isPublished(some, now)).toBe(['published', 'signing', 'retiring'].includes(state))
        if (some.revokedAt !== undefined && now >= some.revokedAt) expect(isPublished(some, now)).toBe(false)
      }),
    )
  })

  test('states only ever go forward', () => {
    const order: KeyState[] = ['waiting', 'published', 'signing', 'retiring', 'removed', 'revoked']
    fc.assert(
      fc.property(moments, fc.nat(250), fc.nat(50), (some, now, later) => {
        expect(order.indexOf(keyState(some, now + later))).toBeGreaterThanOrEqual(
          order.indexOf(keyState(some, now)),
        )
      }),
    )
  })
})

describe('the key that signs', () => {
  const first = { ...key, generation: 1, signsUntil: undefined, publishedUntil: undefined }
  const second = { ...first, generation: 2, publishedAt: 250, signsFrom: 500 }

  test.each([
    ['none before the first may', 199, undefined],
    ['the first while it is alone', 200, 1],
    ['the first while the next is only published', 499, 1],
    ['the next from the second it may', 500, 2],
  ])('is %s', (_title, now, generation) => {
    expect(signingKeyAt([first, second], now)?.generation).toBe(generation)
    expect(signingKeyAt([second, first], now)?.generation).toBe(generation)
  })

  test('is the one before when the latest is revoked', () => {
    expect(signingKeyAt([first, { ...second, revokedAt: 600 }], 600)?.generation).toBe(1)
  })

  test('is none where there is none', () => {
    expect(signingKeyAt([], 0)).toBeUndefined()
    expect(signingKeyAt([{ ...first, revokedAt: 0 }], 500)).toBeUndefined()
    expect(signingKeyAt([{ ...first, signsUntil: 300 }], 300)).toBeUndefined()
  })

  test('is the same whatever order the keys come in, and the latest of those that may', () => {
    const keys = fc
      .array(moments, { maxLength: 6 })
      .map((list) => list.map((some, index) => ({ ...some, generation: index + 1 })))
      .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })))
    fc.assert(
      fc.property(keys, fc.nat(250), ([list, shuffled], now) => {
        const signing = list.filter((one) => keyState(one, now) === 'signing').map((one) => one.generation)
        const latest = signing.length === 0 ? undefined : Math.max(...signing)
        expect(signingKeyAt(list, now)?.generation).toBe(latest)
        expect(signingKeyAt(shuffled, now)?.generation).toBe(latest)
      }),
    )
  })
})

/** Keys as a file: which keys stand in it, and until when it is good. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { exportedKeys } from '../../src/keys/exported.ts'
import { momentsFrom, nextPublicationAt, planKey } from '../../src/keys/schedule.ts'
import type { KeyDescription } from '../../src/keys/store.ts'

const { schedule } = readConfig({})
const { keyLifetimeSeconds } = schedule
const began = 1_000_000_000

function keyOf(kid: string, generation: number, moments: Partial<KeyDescription> = {}): KeyDescription {
  return {
    kid,
    algorithm: 'RS256',
    generation,
    publicJwk: { kty: 'RSA', kid },
    keyEncryptionKeyId: 'kek',
    ...momentsFrom(began, began, schedule),
    ...moments,
  }
}

const used = new Set(['RS256', 'ES256'] as const)
const first = keyOf('first', 1)
const second = keyOf('second', 2, momentsFrom(nextPublicationAt(first, schedule), first.signsUntil, schedule))

describe('a set', () => {
  test('has what signs, what signs next and what retires, and nothing that was revoked or removed', () => {
    const now = second.signsFrom + 1
    const keys = [
      keyOf('removed', 1, { publishedUntil: now }),
      { ...first, generation: 2 },
      { ...second, generation: 3 },
      keyOf('revoked', 4, { revokedAt: now - 1 }),
      keyOf('next', 5, momentsFrom(now, second.signsUntil, schedule)),
    ]
    const { text, keys: told } = exportedKeys(keys, used, schedule, now)
    expect(JSON.parse(text)).toEqual({
      keys: ['first', 'second', 'next'].map((kid) => ({ kty: 'RSA', kid })),
    })
    expect(told.map(({ kid, state }) => `${kid} ${state}`)).toEqual([
      'first retiring',
      'second signing',
      'next published',
    ])
  })

  test('with the next key is good for the turn of that key too', () => {
    const alone = exportedKeys([first], used, schedule, began).goodUntil
    const both = exportedKeys([first, second], used, schedule, second.publishedAt).goodUntil
    expect([alone, both]).toEqual([first.signsUntil, second.signsUntil])
  })

  test('is as good as the first of several algorithms that changes', () => {
    const other = keyOf('other', 1, {
      algorithm: 'ES256',
      ...momentsFrom(began - 100, began - 100, schedule),
    })
    expect(exportedKeys([first, other], used, schedule, began).goodUntil).toBe(other.signsUntil)
    // Nobody makes keys of an algorithm that nothing uses, so its end does not matter.
    expect(exportedKeys([first, other], new Set(['RS256']), schedule, began).goodUntil).toBe(first.signsUntil)
    expect(exportedKeys([first], new Set(), schedule, began).goodUntil).toBeUndefined()
  })

  test('is good no longer where the next key is late', () => {
    const now = first.signsUntil + 1
    expect(exportedKeys([first], used, schedule, now)).toMatchObject({ goodUntil: now, nextKeyAt: now })
  })
})

test('no key that the service makes by itself signs while a file without it is good', () => {
  const seconds = fc.integer({ min: 0, max: keyLifetimeSeconds })
  fc.assert(
    fc.property(seconds, seconds, (exportedAfter, madeAfter) => {
      const now = began + exportedAfter
      const { goodUntil = 0, nextKeyAt = 0 } = exportedKeys([first], used, schedule, now)
      const made = planKey(first, [first], schedule, Math.max(now, nextKeyAt) + madeAfter, now)
      expect(made.signsFrom).toBeGreaterThanOrEqual(goodUntil)
    }),
  )
})

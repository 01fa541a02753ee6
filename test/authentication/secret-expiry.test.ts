import { describe, expect, test } from 'vitest'
import { type EndingSecret, isWorthWarning } from '../../src/authentication/secret-expiry.ts'

const day = 86_400
const now = 1_800_000_000

const used = (changes: Partial<EndingSecret>): EndingSecret => ({
  secretId: 'k3v9x2ab',
  clientId: 'billing',
  createdAt: now - 80 * day,
  expiresAt: now + 5 * day,
  replacedAt: undefined,
  lastUsedAt: now - day,
  hasLater: true,
  ...changes,
})

describe('a secret that ends', () => {
  test.each<[string, Partial<EndingSecret>, boolean]>([
    ['in five days and is used', {}, true],
    ['in seven days and a second', { expiresAt: now + 7 * day + 1 }, false],
    ['in seven days', { expiresAt: now + 7 * day }, true],
    ['now', { expiresAt: now }, false],
    ['and was used longer ago than it is warned about', { lastUsedAt: now - 8 * day }, false],
    ['and was never used', { lastUsedAt: undefined }, false],
    ['and was never used, but nothing else is valid', { lastUsedAt: undefined, hasLater: false }, true],
    [
      'after a life of a day, in eight hours',
      { createdAt: now - 16 * 3600, expiresAt: now + 8 * 3600 },
      false,
    ],
    [
      'after a life of a day, in eight hours, and was used in the last eight',
      { createdAt: now - 16 * 3600, expiresAt: now + 8 * 3600, lastUsedAt: now - 60 },
      true,
    ],
  ])('%s', (_title, changes, isWorth) => {
    expect(isWorthWarning(used(changes), now)).toBe(isWorth)
  })
})

describe('a secret that is being replaced for a day', () => {
  const replaced = (startedAgo: number, lastUsedAgo: number): boolean =>
    isWorthWarning(
      used({
        replacedAt: now - startedAgo,
        expiresAt: now - startedAgo + day,
        lastUsedAt: now - lastUsedAgo,
      }),
      now,
    )

  test('is no news while two thirds of the overlap are left', () => {
    expect(replaced(60, 1)).toBe(false)
    expect(replaced(15 * 3600, 1)).toBe(false)
  })

  test('is news in the last third, if somebody still uses it', () => {
    expect(replaced(17 * 3600, 1)).toBe(true)
    expect(replaced(17 * 3600, 18 * 3600)).toBe(false)
    expect(replaced(17 * 3600, 9 * 3600)).toBe(false)
  })
})

/** Whoever guesses runs out of attempts; a right secret gets its point back, and names cost no memory. */
import { describe, expect, test } from 'vitest'
import { FailureLimit } from '../../src/authentication/failure-limit.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'

/** A limit whose clock stands still unless the test moves it. */
function limitOf(perClientMax: number, perAddressMax: number) {
  const clock = { milliseconds: 1_000 }
  const limit = new FailureLimit({
    perClientMax,
    perAddressMax,
    monotonicMilliseconds: () => clock.milliseconds,
  })
  return { limit, clock }
}

/** What comes of so many tries, one after the other. */
function outcomes(times: number, attempt: (index: number) => void): string[] {
  return Array.from({ length: times }, (_, index) => {
    try {
      attempt(index)
      return 'counted'
    } catch (error) {
      if (error instanceof OAuthError) return error.reason
      throw error
    }
  })
}

const count = (results: readonly string[], result: string): number =>
  results.filter((one) => one === result).length

describe('a failure', () => {
  test('counts for the client, from wherever it comes (RFC 6749 §2.3.1)', () => {
    const { limit } = limitOf(5, 1_000)
    const results = outcomes(8, (index) => limit.fail('a', `10.0.0.${index}`))
    expect(results).toEqual([...Array(5).fill('counted'), ...Array(3).fill('failures_of_client')])
  })

  test('counts for its address, whoever it names', () => {
    const { limit } = limitOf(1_000, 5)
    const results = outcomes(8, (index) => limit.fail(`client ${index}`, '10.0.0.1'))
    expect(results).toEqual([...Array(5).fill('counted'), ...Array(3).fill('failures_of_address')])
    expect(outcomes(1, () => limit.fail('a', '10.0.0.2'))).toEqual(['counted'])
  })

  test('is refused with the seconds to wait until the window is over, and counted again after it (RFC 6585 §4)', () => {
    const { limit, clock } = limitOf(1, 1)
    limit.fail('a', '10.0.0.1')
    clock.milliseconds += 20_000
    let refused: unknown
    try {
      limit.fail('a', '10.0.0.1')
    } catch (error) {
      refused = error
    }
    expect(refused).toBeInstanceOf(OAuthError)
    expect((refused as OAuthError).status).toBe(429)
    expect((refused as OAuthError).retryAfterSeconds).toBe(limits.failureWindowSeconds - 20)
    clock.milliseconds += (limits.failureWindowSeconds - 20) * 1_000
    expect(outcomes(2, () => limit.fail('a', '10.0.0.1'))).toEqual(['counted', 'failures_of_address'])
  })
})

describe('a secret that has to be hashed', () => {
  test('may be wrong only so often from one address, whatever else fails there', () => {
    const { limit } = limitOf(3, 3)
    outcomes(50, () => limit.fail('a', '10.0.0.1'))
    const results = outcomes(5, () => limit.attempt('secret01', '10.0.0.1'))
    expect(results).toEqual([...Array(3).fill('counted'), ...Array(2).fill('failures_of_client')])
  })

  test('is not used up for its holder by somebody elsewhere who knows its id', () => {
    const { limit } = limitOf(3, 1_000)
    expect(
      count(
        outcomes(50, () => limit.attempt('secret01', '10.0.0.1')),
        'counted',
      ),
    ).toBe(3)
    expect(outcomes(1, () => limit.attempt('secret01', '10.0.0.2'))).toEqual(['counted'])
    expect(outcomes(1, () => limit.attempt('secret02', '10.0.0.1'))).toEqual(['counted'])
  })

  test('gets its point back when it was right, and no more than it took', () => {
    const { limit } = limitOf(1, 1)
    const results = outcomes(20, () => limit.attempt('secret01', '10.0.0.1').forgive())
    expect(count(results, 'counted')).toBe(20)
    expect(
      count(
        outcomes(3, () => void limit.attempt('secret01', '10.0.0.1')),
        'counted',
      ),
    ).toBe(1)
  })
})

describe('an address', () => {
  /** Whether failures from the second run out with those from the first. */
  function countsAsOne(first: string, second: string): boolean {
    const { limit } = limitOf(1_000, 1)
    limit.fail('a', first)
    return outcomes(1, () => limit.fail('a', second))[0] === 'failures_of_address'
  }

  test.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'],
    ['2001:db8::1', '2001:db8:0:0:1:2:3:4'],
    ['fe80::1%eth0', 'fe80::2'],
    ['::1', '::2'],
    ['10.0.0.1', '10.0.0.1'],
  ])('%s and %s are one: a /64 belongs to one household (RFC 4291 §2.5.4)', (first, second) => {
    expect(countsAsOne(first, second)).toBe(true)
  })

  test.each([
    ['2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['2001:db8::1', '2001:db8:0:1::1'],
    ['10.0.0.1', '10.0.0.2'],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.2'],
    ['1:2:3:4::', '1:2:3::4'],
  ])('%s and %s are two', (first, second) => {
    expect(countsAsOne(first, second)).toBe(false)
  })
})

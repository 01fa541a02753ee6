/** Whoever guesses runs out of attempts; whoever holds a secret of the client's own does not, whatever others do. */
import { describe, expect, test } from 'vitest'
import { type Attempt, FailureLimit } from '../../src/authentication/failure-limit.ts'
import { OAuthError } from '../../src/errors.ts'
import { limits } from '../../src/limits.ts'

/** What comes of so many attempts, one after the other. */
async function outcomes(times: number, attempt: (index: number) => Promise<Attempt>): Promise<string[]> {
  const results: string[] = []
  for (let index = 0; index < times; index += 1) {
    results.push(
      await attempt(index).then(
        () => 'admitted',
        (error: unknown) => (error instanceof OAuthError ? error.reason : String(error)),
      ),
    )
  }
  return results
}

const count = (results: readonly string[], result: string): number =>
  results.filter((one) => one === result).length

describe('a guess at a client', () => {
  test('counts for the client, from wherever it comes (RFC 6749 §2.3.1)', async () => {
    const limit = new FailureLimit({ perClientMax: 5, perAddressMax: 1_000 })
    const results = await outcomes(8, (index) => limit.attempt('a', undefined, `10.0.0.${index}`))
    expect(results).toEqual([...Array(5).fill('admitted'), ...Array(3).fill('failures_of_client')])
  })

  test('counts for its address, whoever it names', async () => {
    const limit = new FailureLimit({ perClientMax: 1_000, perAddressMax: 5 })
    const results = await outcomes(8, (index) => limit.attempt(`client ${index}`, undefined, '10.0.0.1'))
    expect(results).toEqual([...Array(5).fill('admitted'), ...Array(3).fill('failures_of_address')])
    expect(await outcomes(1, () => limit.attempt('a', undefined, '10.0.0.2'))).toEqual(['admitted'])
  })

  test('a thousand at once are as limited as a thousand in a row', async () => {
    const limit = new FailureLimit({ perClientMax: 10, perAddressMax: 1_000_000 })
    const all = await Promise.allSettled(
      Array.from({ length: 1_000 }, (_, index) =>
        limit.attempt('a', undefined, `10.0.${index >> 8}.${index & 255}`),
      ),
    )
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
  })

  test('is refused with the seconds to wait, never more than the window (RFC 6585 §4)', async () => {
    const limit = new FailureLimit({ perClientMax: 1, perAddressMax: 1 })
    await limit.attempt('a', undefined, '10.0.0.1')
    const refused = await limit.attempt('a', undefined, '10.0.0.1').catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(OAuthError)
    const { retryAfterSeconds, status } = refused as OAuthError
    expect(status).toBe(429)
    expect(Number.isInteger(retryAfterSeconds)).toBe(true)
    expect(retryAfterSeconds).toBeGreaterThanOrEqual(1)
    expect(retryAfterSeconds).toBeLessThanOrEqual(limits.failureWindowSeconds)
  })

  test('that turned out right, or was never checked, is given back', async () => {
    const limit = new FailureLimit({ perClientMax: 1, perAddressMax: 1 })
    const results = await outcomes(20, async () => {
      const attempt = await limit.attempt('a', undefined, '10.0.0.1')
      attempt.forgive()
      return attempt
    })
    expect(count(results, 'admitted')).toBe(20)
  })

  test('gives back no more than it took', async () => {
    const limit = new FailureLimit({ perClientMax: 2, perAddressMax: 2 })
    const attempt = await limit.attempt('a', undefined, '10.0.0.1')
    attempt.forgive()
    const results = await outcomes(4, () => limit.attempt('a', undefined, '10.0.0.1'))
    expect(count(results, 'admitted')).toBe(2)
  })
})

describe('whoever names a secret that the client really has', () => {
  test('is not locked out by guesses at the client or from the same address', async () => {
    const limit = new FailureLimit({ perClientMax: 3, perAddressMax: 3 })
    const guesses = await outcomes(50, () => limit.attempt('a', undefined, '10.0.0.1'))
    expect(count(guesses, 'admitted')).toBe(3)
    expect(await outcomes(3, () => limit.attempt('a', 'secret01', '10.0.0.1'))).toEqual(
      Array(3).fill('admitted'),
    )
  })

  test('is counted by that secret: it may be wrong only so often, from wherever', async () => {
    const limit = new FailureLimit({ perClientMax: 3, perAddressMax: 1_000 })
    const results = await outcomes(5, (index) => limit.attempt('a', 'secret01', `10.0.0.${index}`))
    expect(results).toEqual([...Array(3).fill('admitted'), ...Array(2).fill('failures_of_client')])
    expect(await outcomes(1, () => limit.attempt('a', 'secret02', '10.0.0.1'))).toEqual(['admitted'])
    expect(await outcomes(1, () => limit.attempt('a', undefined, '10.0.0.1'))).toEqual(['admitted'])
  })

  test('gets a right attempt back', async () => {
    const limit = new FailureLimit({ perClientMax: 1, perAddressMax: 1 })
    const results = await outcomes(20, async () => {
      const attempt = await limit.attempt('a', 'secret01', '10.0.0.1')
      attempt.forgive()
      return attempt
    })
    expect(count(results, 'admitted')).toBe(20)
    expect(count(await outcomes(3, () => limit.attempt('a', 'secret01', '10.0.0.1')), 'admitted')).toBe(1)
  })

  test('shares a counter with no name that a stranger can make up', async () => {
    const limit = new FailureLimit({ perClientMax: 1, perAddressMax: 1_000_000 })
    // Fills every hundredth bucket or so: were secrets counted in the same ones, several of them would be hit.
    await outcomes(1_000, (index) => limit.attempt(`stranger ${index}`, undefined, '10.0.0.1'))
    const results = await outcomes(1_500, (index) => limit.attempt('a', `secret ${index}`, '10.0.0.1'))
    expect(count(results, 'admitted')).toBe(1_500)
  })
})

describe('an address', () => {
  /** Whether guesses from the second run out with those from the first. */
  async function countsAsOne(first: string, second: string): Promise<boolean> {
    const limit = new FailureLimit({ perClientMax: 1_000, perAddressMax: 1 })
    await limit.attempt('a', undefined, first)
    return (await outcomes(1, () => limit.attempt('a', undefined, second)))[0] === 'failures_of_address'
  }

  test.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'],
    ['2001:db8::1', '2001:db8:0:0:1:2:3:4'],
    ['fe80::1%eth0', 'fe80::2'],
    ['::1', '::2'],
    ['10.0.0.1', '10.0.0.1'],
  ])('%s and %s are one: a /64 belongs to one household (RFC 4291 §2.5.4)', async (first, second) => {
    expect(await countsAsOne(first, second)).toBe(true)
  })

  test.each([
    ['2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['2001:db8::1', '2001:db8:0:1::1'],
    ['10.0.0.1', '10.0.0.2'],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.2'],
    ['1:2:3:4::', '1:2:3::4'],
  ])('%s and %s are two', async (first, second) => {
    expect(await countsAsOne(first, second)).toBe(false)
  })
})

/**
 * argon2 is paid for once per secret and hash, by so many at once as there is room for, and by nobody else.
 *
 * Long because the gate, the memory and the sharing are tested on one fake clock and one fake argon2.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Attempt } from '../../src/authentication/failure-limit.ts'
import { UnusableHash } from '../../src/authentication/secret.ts'
import { Verification } from '../../src/authentication/verification.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'

/** A verification whose clock and whose argon2 are in the test's hands. */
function controlled({ parallelMax = 1, now = 1_000 } = {}) {
  const clock = { now }
  const checks: {
    hash: string
    secret: string
    answer: (matches: boolean) => void
    fail: (error: Error) => void
  }[] = []
  const verification = new Verification(
    { parallelMax, now: () => clock.now },
    (hash, secret) =>
      new Promise((resolve, reject) => {
        checks.push({ hash, secret, answer: resolve, fail: reject })
      }),
  )
  const attempts = { taken: 0, forgiven: 0 }
  const admit = (): Attempt => {
    attempts.taken += 1
    return {
      forgive: () => {
        attempts.forgiven += 1
      },
    }
  }
  const verify = (clientId: string, secret: string, hash = `hash of ${secret}`, promising = true) =>
    verification.verify({ key: verification.keyOf(clientId, secret), hash, secret, promising }, admit)
  const revoked = (number: number) => verify(`client ${number}`, 'revoked', 'hash of revoked', false)
  return { verification, clock, checks, attempts, admit, verify, revoked }
}

const check = (key: string) => ({ key, hash: 'hash', secret: 's', promising: true })

/** Lets everything happen that waits for nothing else. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const reasonOf = async (refused: Promise<unknown>): Promise<string> => {
  const error = await refused.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(OAuthError)
  return (error as OAuthError).reason
}

describe('the name of a client and secret', () => {
  test('two different pairs never share one, however they are cut (CVE-2026-71326)', () => {
    const { verification } = controlled()
    const text = fc.string({ unit: 'grapheme', maxLength: 8 })
    fc.assert(
      fc.property(text, fc.nat(8), fc.nat(8), (joined, first, second) => {
        const letters = [...joined]
        const pair = (at: number) => [letters.slice(0, at).join(''), letters.slice(at).join('')] as const
        const [one, other] = [pair(first), pair(second)]
        expect(verification.keyOf(...one) === verification.keyOf(...other)).toBe(one[0] === other[0])
      }),
    )
  })

  test('has a frame that nothing in a name can stand in for', () => {
    const { verification } = controlled()
    expect(verification.keyOf('é', 'a')).not.toBe(verification.keyOf('éa', ''))
    expect(verification.keyOf('', '\0\0\0\0ab')).not.toBe(verification.keyOf('\0\0\0\0', 'ab'))
  })

  test('belongs to one process', () => {
    expect(controlled().verification.keyOf('a', 's')).not.toBe(controlled().verification.keyOf('a', 's'))
  })

  test('shows neither of them', () => {
    expect(controlled().verification.keyOf('canary', 'canary')).toMatch(/^[\w+/]{43}=$/)
  })
})

describe('what is remembered', () => {
  test('a right secret, for the hash it was right for, until its time is over', async () => {
    const { verification, clock, checks, verify } = controlled()
    const key = verification.keyOf('a', 's')
    expect(verification.isRemembered(key, 'hash of s')).toBe(false)
    const matched = verify('a', 's')
    await settled()
    checks[0]?.answer(true)
    expect(await matched).toBe(true)

    expect(verification.isRemembered(key, 'hash of s')).toBe(true)
    clock.now += limits.verifiedSecretSeconds - 1
    expect(verification.isRemembered(key, 'hash of s')).toBe(true)
    clock.now += 1
    expect(verification.isRemembered(key, 'hash of s')).toBe(false)
    clock.now -= 1
    expect(verification.isRemembered(key, 'hash of s'), 'forgotten is forgotten').toBe(false)
  })

  test('is worth nothing for another hash, and forgotten once one is asked for', async () => {
    const { verification, checks, verify } = controlled()
    const key = verification.keyOf('a', 's')
    const matched = verify('a', 's')
    await settled()
    checks[0]?.answer(true)
    await matched
    expect(verification.isRemembered(key, 'the hash that replaced it')).toBe(false)
    expect(verification.isRemembered(key, 'hash of s')).toBe(false)
  })

  test('is worth nothing for another client with the same secret', async () => {
    const { verification, checks, verify } = controlled()
    const matched = verify('a', 's')
    await settled()
    checks[0]?.answer(true)
    await matched
    expect(verification.isRemembered(verification.keyOf('b', 's'), 'hash of s')).toBe(false)
  })

  test('a wrong secret never is, and neither is one that could not be checked', async () => {
    const { verification, checks, verify } = controlled()
    const wrong = verify('a', 's')
    await settled()
    checks[0]?.answer(false)
    expect(await wrong).toBe(false)
    expect(verification.isRemembered(verification.keyOf('a', 's'), 'hash of s')).toBe(false)

    const unusable = verify('a', 's')
    await settled()
    checks[1]?.fail(new UnusableHash('no hash'))
    await expect(unusable).rejects.toBeInstanceOf(UnusableHash)
    expect(verification.isRemembered(verification.keyOf('a', 's'), 'hash of s')).toBe(false)
  })
})

describe('those who ask the same at the same time', () => {
  test('share one verification and one attempt', async () => {
    const { checks, attempts, verify } = controlled({ parallelMax: 8 })
    const answers = Promise.all(Array.from({ length: 50 }, () => verify('a', 's')))
    await settled()
    expect(checks).toHaveLength(1)
    checks[0]?.answer(true)
    expect(new Set(await answers)).toEqual(new Set([true]))
    expect(attempts).toEqual({ taken: 1, forgiven: 1 })
  })

  test('share with nobody else: not another client, secret or hash (CVE-2026-88010)', async () => {
    const { checks, verify } = controlled({ parallelMax: 8 })
    const answers = [
      verify('a', 's'),
      verify('b', 's'),
      verify('a', 't', 'hash of s'),
      verify('a', 's', 'another'),
    ]
    await settled()
    expect(checks).toHaveLength(4)
    for (const [index, { answer }] of checks.entries()) answer(index === 0)
    expect(await Promise.all(answers)).toEqual([true, false, false, false])
  })

  test('share a refusal too', async () => {
    const { verification, checks } = controlled()
    const refuse = () => {
      throw new OAuthError('failures_of_client')
    }
    const both = ['a', 'b'].map(() => verification.verify(check('key'), refuse))
    for (const refused of both) expect(await reasonOf(refused)).toBe('failures_of_client')
    expect(checks).toHaveLength(0)
  })

  test('whoever asks after the answer is checked afresh, unless it is remembered', async () => {
    const { checks, verify } = controlled()
    const first = verify('a', 's')
    await settled()
    checks[0]?.answer(false)
    await first
    const second = verify('a', 's')
    await settled()
    expect(checks).toHaveLength(2)
    checks[1]?.answer(true)
    expect(await second).toBe(true)
  })
})

describe('the gate', () => {
  test.each([1, 2, 4])(
    'lets %i check at once, and the others in the order they came',
    async (parallelMax) => {
      const { checks, verify } = controlled({ parallelMax })
      const answers = Array.from({ length: 10 }, (_, index) => verify('a', `secret ${index}`))
      await settled()
      for (let answered = 0; answered < 10; answered += 1) {
        expect(checks).toHaveLength(Math.min(10, parallelMax + answered))
        checks[answered]?.answer(answered % 2 === 0)
        await settled()
      }
      expect(checks.map(({ secret }) => secret)).toEqual(
        Array.from({ length: 10 }, (_, index) => `secret ${index}`),
      )
      expect(await Promise.all(answers)).toEqual(Array.from({ length: 10 }, (_, index) => index % 2 === 0))
    },
  )

  test('a full queue refuses, costs its caller no attempt, and takes others again later', async () => {
    const { checks, attempts, verify } = controlled()
    const held = Array.from({ length: 1 + limits.argon2QueueMax }, (_, index) =>
      verify('a', `secret ${index}`),
    )
    await settled()
    expect(await reasonOf(verify('a', 'one too many'))).toBe('verification_queue_full')
    expect(attempts).toEqual({ taken: held.length + 1, forgiven: 1 })

    checks[0]?.answer(true)
    await settled()
    const late = verify('a', 'late')
    await settled()
    expect(checks, 'the place went to the first in line').toHaveLength(2)
    for (let index = 1; index < held.length + 1; index += 1) {
      checks[index]?.answer(true)
      await settled()
    }
    expect(new Set(await Promise.all([...held, late]))).toEqual(new Set([true]))
    expect(checks).toHaveLength(held.length + 1)
  })

  test('a place is free again after a wrong secret and after a hash that could not be read', async () => {
    const { checks, verify } = controlled()
    const wrong = verify('a', 'one')
    const unusable = verify('a', 'two')
    const right = verify('a', 'three')
    await settled()
    checks[0]?.answer(false)
    await settled()
    checks[1]?.fail(new UnusableHash('no hash'))
    await expect(unusable).rejects.toBeInstanceOf(UnusableHash)
    await settled()
    checks[2]?.answer(true)
    expect(await wrong).toBe(false)
    expect(await right).toBe(true)
  })

  test('a secret that could not be granted anything is hashed while nobody else waits, and never waits', async () => {
    const { checks, verify, revoked } = controlled()
    const alone = revoked(1)
    await settled()
    expect(checks).toHaveLength(1)
    expect(await reasonOf(revoked(2))).toBe('verification_queue_full')
    const cold = verify('cold', 'right')
    await settled()
    expect(await reasonOf(revoked(3))).toBe('verification_queue_full')
    checks[0]?.answer(true)
    expect(await alone).toBe(true)
    await settled()
    expect(checks[1]?.secret).toBe('right')
    checks[1]?.answer(true)
    expect(await cold).toBe(true)
    expect(checks).toHaveLength(2)
  })

  test('closed, it turns away who waits and who comes, and waits for what is being checked', async () => {
    const { verification, checks, verify } = controlled()
    const running = verify('a', 's')
    const waiting = [verify('b', 's'), verify('d', 's')]
    await settled()
    let isClosed = false
    const closed = verification.close().then(() => {
      isClosed = true
    })
    for (const each of waiting) expect(await reasonOf(each)).toBe('verification_queue_full')
    expect(await reasonOf(verify('c', 's'))).toBe('verification_queue_full')
    await settled()
    expect(isClosed).toBe(false)
    checks[0]?.answer(true)
    expect(await running).toBe(true)
    await closed
    expect(checks).toHaveLength(1)
  })

  test('whoever is not admitted takes no place', async () => {
    const { verification, checks, verify } = controlled()
    const refuse = () => {
      throw new OAuthError('failures_of_address')
    }
    const refused = Array.from({ length: 5 }, (_, index) =>
      verification.verify(check(`key ${index}`), refuse),
    )
    for (const one of refused) expect(await reasonOf(one)).toBe('failures_of_address')
    const right = verify('a', 's')
    await settled()
    checks[0]?.answer(true)
    expect(await right).toBe(true)
  })
})

describe('an attempt', () => {
  test('is forgiven when the secret was right, and only then', async () => {
    const { checks, attempts, verify } = controlled({ parallelMax: 3 })
    const answers = [verify('a', 'right'), verify('a', 'wrong'), verify('a', 'unusable')]
    await settled()
    checks[0]?.answer(true)
    checks[1]?.answer(false)
    checks[2]?.fail(new UnusableHash('no hash'))
    await Promise.allSettled(answers)
    expect(attempts).toEqual({ taken: 3, forgiven: 1 })
  })
})

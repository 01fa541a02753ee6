/** The id of a token says when it was made, and that is how its record is found. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { millisecondsOf, tokenId } from '../../src/ledger/token-id.ts'

const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const random = fc.uuid({ version: 4 })

test('is a UUID of version 7: the time first, then what was random', () => {
  // The example of RFC 9562, Appendix A.6.
  const example = '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
  expect(tokenId(0x017f22e279b0, '00000000-0000-4cc3-98c4-dc0c0c07398f')).toBe(example)
  expect(millisecondsOf(example)).toBe(0x017f22e279b0)
  expect(tokenId(0, '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1')).toBe('00000000-0000-7a40-9df0-1d4d3ac0a8b1')
})

test('is later in order when it is later in time', () => {
  fc.assert(
    fc.property(time, time, random, random, (one, other, a, b) => {
      fc.pre(one !== other)
      expect(tokenId(one, a) < tokenId(other, b)).toBe(one < other)
      expect(tokenId(one, a)).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    }),
  )
})

test('gives back its time, and a UUID of another version gives none', () => {
  fc.assert(
    fc.property(time, random, (milliseconds, randomId) => {
      expect(millisecondsOf(tokenId(milliseconds, randomId))).toBe(milliseconds)
      expect(millisecondsOf(randomId)).toBeUndefined()
    }),
  )
})

/** A word is suggested if it was probably meant, and not if another one is as likely. */
import { expect, test } from 'vitest'
import { didYouMean, nearest } from '../../src/lib/suggest.ts'

test.each([
  ['billng', ['billing', 'shipping'], 'billing'],
  ['ES265', ['ES256', 'EdDSA'], 'ES256'],
  ['--aplly', ['--apply'], '--apply'],
  ['https://ordres.example.com', ['https://orders.example.com'], 'https://orders.example.com'],
  // Half of another name, in an address of which the rest is alike.
  ['https://nope.example.com', ['https://invoices.example.com', 'https://orders.example.com'], undefined],
  ['urn:example:billing', ['urn:example:shipping'], undefined],
  // Each of them may be meant.
  ['HS256', ['ES256', 'RS256', 'PS256'], undefined],
  ['orders:rite', ['orders:write', 'orders:rate'], undefined],
  ['x', ['yz'], undefined],
])('%s among %j: %s', (word, known, meant) => {
  expect(nearest(word, known)).toBe(meant)
  expect(didYouMean(word, known)).toBe(meant === undefined ? '' : ` Did you mean "${meant}"?`)
})

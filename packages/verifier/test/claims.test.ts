import { expect, test } from 'vitest'
import { readClaims } from '../src/claims.ts'

const expected = { issuer: 'https://tokens.example.com', audience: 'https://orders.example.com' }
const claims = {
  iss: expected.issuer,
  aud: expected.audience,
  sub: 'billing',
  client_id: 'billing',
  jti: 'a',
  iat: 1_800_000_000,
  exp: 1_800_000_300,
}

test('a name with a character of control is none, also with one that begins a sequence of a terminal', () => {
  expect(readClaims(claims, expected).sub).toBe('billing')
  for (const character of ['\0', '\n', '\u001b', '\u007f', '\u0085', '\u009b']) {
    for (const name of ['sub', 'client_id', 'jti']) {
      expect(() => readClaims({ ...claims, [name]: `billing${character}x` }, expected)).toThrow()
    }
  }
})

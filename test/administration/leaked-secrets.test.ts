import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { readLeaked } from '../../src/administration/leaked-secrets.ts'
import { makeSecret } from '../../src/authentication/secret.ts'
import { limits } from '../../src/limits.ts'

const [one, other] = [makeSecret(randomBytes), makeSecret(randomBytes)]

test('a secret is found whatever stands around it, and a line may have several', () => {
  const text = `\ufeff${one.secret}\r\n\r\nexport SECRET="${other.secret}" # old\n${one.secret},${other.secret}\n`
  expect(readLeaked(text)).toEqual([
    { line: 1, ...one },
    { line: 3, ...other },
    { line: 4, ...one },
    { line: 4, ...other },
  ])
})

test('what is cut off, mistyped or something else is a line without a secret', () => {
  const cut = one.secret.slice(0, -1)
  const typo = `${one.secret.slice(0, -1)}${one.secret.endsWith('a') ? 'b' : 'a'}`
  expect(readLeaked(`${cut}\n${typo}\nhunter2\nmm_short\n${one.secret}x\nx${one.secret}`)).toEqual([
    { line: 1, secret: undefined, secretId: one.secretId },
    { line: 2, secret: undefined, secretId: one.secretId },
    { line: 3, secret: undefined, secretId: undefined },
    { line: 4, secret: undefined, secretId: undefined },
    { line: 5, secret: undefined, secretId: one.secretId },
    { line: 6, secret: undefined, secretId: undefined },
  ])
})

test('there may be so many, and not one more', () => {
  const most = limits.leakedSecretsMax
  expect(readLeaked('x\n'.repeat(most))).toHaveLength(most)
  expect(() => readLeaked('x\n'.repeat(most + 1))).toThrow(/leaked/)
})

/** A certificate that takes the place of another is compared with it: the files of another service are easily mixed up. */
import { expect, test } from 'vitest'
import { namesLost } from '../../src/process/reload.ts'
import { general, makeCertificate } from '../support/x509.ts'

const address = general.ip(127, 0, 0, 1)
const certificateOf = (...names: readonly Buffer[]): string => makeCertificate(undefined, { names }).pem
const [tokens, other] = ['tokens.example.com', 'other.example.com'].map((each) => general.dns(each)) as [
  Buffer,
  Buffer,
]

test.each([
  ['the same names', [tokens, address], [address, tokens], []],
  ['more names', [tokens], [tokens, other], []],
  ['a name that covers it', [tokens], [general.dns('*.example.com')], []],
  ['a wildcard that is gone', [general.dns('*.example.com')], [tokens], ['DNS:*.example.com']],
  ['another name', [tokens], [other], ['DNS:tokens.example.com']],
  ['a missing address', [tokens, address], [tokens], ['IP Address:127.0.0.1']],
  ['a name that nobody can ask for', [general.dns('')], [tokens], []],
  ['a name with a quote', [general.dns('a", DNS:b')], [tokens], [expect.any(String)]],
  ['no names any more', [tokens], [], ['DNS:tokens.example.com']],
])('%s', (_title, before, next, lost) => {
  expect(namesLost(certificateOf(...before), certificateOf(...next))).toEqual(lost)
})

test('a service that begins or ends to speak TLS loses no names', () => {
  expect(namesLost(undefined, certificateOf(tokens))).toEqual([])
  expect(namesLost(certificateOf(tokens), undefined)).toEqual([])
})

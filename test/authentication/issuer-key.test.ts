/** Which keys of an issuer count, and for which algorithm. What a key must be in itself: client-key.test.ts. */
import { describe, expect, test } from 'vitest'
import { readIssuerKey } from '../../src/authentication/issuer-key.ts'
import { makeKey } from '../support/assertion.ts'

const [rsa, ec] = [makeKey('RS256', 'rsa'), makeKey('ES256', 'ec')]
const uses = ['sig', 'jwt-svid'] as const
/** As the one kind of issuer publishes it, or the other. */
const published = ({ publicJwk, kid }: typeof rsa, use: (typeof uses)[number], changes: object = {}) => ({
  ...publicJwk,
  kid,
  use,
  ...changes,
})

describe.for(uses)('a key of a set for %s', (use) => {
  const read = (key: typeof rsa, changes?: object) => readIssuerKey(published(key, use, changes), use)

  test('is for the algorithm that it says, and RSA without one is for RS256', () => {
    const { thumbprint, publicJwk } = rsa
    expect(read(rsa)).toEqual({ thumbprint, kid: 'rsa', algorithm: 'RS256', publicJwk })
    expect(read(rsa, { alg: 'PS256' })).toMatchObject({ thumbprint, algorithm: 'PS256' })
    expect(read(ec)).toMatchObject({ thumbprint: ec.thumbprint, kid: 'ec', algorithm: 'ES256' })
    expect(read(ec, { alg: 'RS256' })).toMatchObject({ problem: expect.stringContaining('ES256') })
  })

  test('is refused where it is private, or none', () => {
    expect(read(rsa, { d: 'x' })).toEqual({ privateMember: 'd' })
    for (const value of [undefined, null, 7, 'text', [published(rsa, use)]]) {
      expect(readIssuerKey(value, use)).toEqual({ problem: expect.stringContaining('is no JSON Web Key') })
    }
  })
})

test('a key of a trust domain says that it is for JWT-SVIDs, and one of another issuer is for signatures', () => {
  const problem = 'is not for JWT-SVIDs: its use must be jwt-svid'
  for (const use of ['sig', 'x509-svid', undefined]) {
    expect(readIssuerKey({ ...rsa.publicJwk, use }, 'jwt-svid')).toEqual({ problem })
  }
  expect(readIssuerKey(rsa.publicJwk, 'sig')).toMatchObject({ thumbprint: rsa.thumbprint })
  for (const use of ['jwt-svid', 'enc']) {
    expect(readIssuerKey({ ...rsa.publicJwk, use }, 'sig')).toEqual({
      problem: expect.stringContaining('its use must be sig'),
    })
  }
})

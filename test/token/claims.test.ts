/** An access token says what RFC 9068 §2.2 asks for, and nothing that nobody granted. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { accessTokenClaims } from '../../src/token/claims.ts'
import type { Grant } from '../../src/token/decide.ts'

const issuer = 'https://tokens.example.com'
const now = 1_800_000_000
const jti = '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1'
const grant: Grant = {
  granted: true,
  clientId: 'billing',
  audience: 'https://orders.example.com',
  scopes: ['orders:read', 'orders:write'],
  lifetimeSeconds: 300,
  signingAlgorithm: 'ES256',
  tokenTyp: 'at+jwt',
}

describe('claims (RFC 9068 §2.2)', () => {
  test('are exactly these', () => {
    expect(accessTokenClaims(issuer, grant, now, jti)).toEqual({
      iss: issuer,
      sub: 'billing',
      client_id: 'billing',
      aud: 'https://orders.example.com',
      scope: 'orders:read orders:write',
      iat: now,
      exp: now + 300,
      jti,
    })
  })

  test('with what the token is bound to (RFC 7800)', () => {
    const confirmation = { jkt: 'a', 'x5t#S256': 'b' }
    expect(accessTokenClaims(issuer, { ...grant, confirmation }, now, jti).cnf).toEqual(confirmation)
    expect(accessTokenClaims(issuer, grant, now, jti)).not.toHaveProperty('cnf')
  })

  test('with what is registered beside, and a subject in the form of somebody else', () => {
    const claims = accessTokenClaims(
      issuer,
      { ...grant, subject: 'c:billing', claims: { tenant: 'acme' } },
      now,
      jti,
    )
    expect(claims).toMatchObject({ tenant: 'acme', sub: 'c:billing', client_id: 'billing' })
  })

  test('without scopes there is no scope claim, not an empty one (RFC 9068 §2.2.3)', () => {
    expect(accessTokenClaims(issuer, { ...grant, scopes: [] }, now, jti)).not.toHaveProperty('scope')
  })

  test('the audience is one text, so that nobody can take a token for two (RFC 7519 §4.1.3)', () => {
    expect(typeof accessTokenClaims(issuer, grant, now, jti).aud).toBe('string')
  })

  test('times are whole seconds, and the token lives exactly as long as it may (RFC 7519 §2)', () => {
    fc.assert(
      fc.property(fc.nat(2_000_000_000), fc.integer({ min: 1, max: 86_400 }), (moment, lifetimeSeconds) => {
        const { iat, exp } = accessTokenClaims(issuer, { ...grant, lifetimeSeconds }, moment, jti)
        expect(iat).toBe(moment)
        expect(exp - iat).toBe(lifetimeSeconds)
        expect(Number.isInteger(exp)).toBe(true)
      }),
    )
  })
})

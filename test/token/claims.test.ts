/** An access token says what RFC 9068 §2.2 asks for, and nothing that nobody granted. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { accessTokenClaims, tokenId } from '../../src/token/claims.ts'
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

describe('the id of a token (RFC 9562 §5.7)', () => {
  const random = '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1'

  test('is a UUID of version 7: the time first, then what was random', () => {
    // The example of RFC 9562, Appendix A.6.
    expect(tokenId(0x017f22e279b0, '00000000-0000-4cc3-98c4-dc0c0c07398f')).toBe(
      '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
    )
    expect(tokenId(0, random)).toBe('00000000-0000-7a40-9df0-1d4d3ac0a8b1')
  })

  test('is later in order when it is later in time', () => {
    const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })
    fc.assert(
      fc.property(time, time, fc.uuid({ version: 4 }), fc.uuid({ version: 4 }), (one, other, a, b) => {
        fc.pre(one !== other)
        expect(tokenId(one, a) < tokenId(other, b)).toBe(one < other)
        expect(tokenId(one, a)).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
      }),
    )
  })
})

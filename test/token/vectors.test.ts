/**
 * The vectors that relying services run (test/vectors) hold for the service too: what it issues is what they accept, and what
 * they call malformed it does not read as an assertion of a client.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readAssertion } from '../../src/authentication/client-assertion.ts'
import { accessTokenClaims } from '../../src/token/claims.ts'

interface TokenCase {
  readonly name: string
  readonly token: string | readonly (readonly [text: string, times: number])[]
  readonly issuer: string
  readonly audience: string
  readonly expected: { readonly code?: string; readonly claims?: Record<string, unknown> }
}

const { cases }: { cases: readonly TokenCase[] } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/tokens.json'), 'utf8'),
)

const wholeToken = (token: TokenCase['token']): string =>
  typeof token === 'string' ? token : token.map(([text, times]) => text.repeat(times)).join('')

test('the usual token of the vectors says what a token of the service says', () => {
  const usual = cases.find(({ name }) => name === 'accepted: ES256')
  if (usual?.expected.claims === undefined) throw new Error('no such case')
  const { iat, exp, jti, sub } = usual.expected.claims as Record<string, number & string>
  const grant = {
    clientId: String(sub),
    audience: usual.audience,
    scopes: ['orders:read', 'orders:write'],
    lifetimeSeconds: Number(exp) - Number(iat),
  }
  const claims = accessTokenClaims(usual.issuer, grant as never, Number(iat), String(jti))
  expect(claims).toEqual(usual.expected.claims)
})

/** What the service says of such a token that comes as an assertion. */
const asAssertion: Readonly<Record<string, string>> = {
  token_malformed: 'assertion_malformed',
  header_unsupported: 'assertion_header_unsupported',
}

describe.each(Object.entries(asAssertion))(
  'what is %s to relying services is %s to the service',
  (code, refusal) => {
    const alike = cases.filter(({ expected }) => expected.code === code)
    test.each(alike)('$name', ({ token }) => {
      expect(readAssertion(wholeToken(token)).refusal).toBe(refusal)
    })
  },
)

/**
 * Why the verifier is not jose alone. Each of these is what jose does by itself; when one fails, something here can be
 * left to it (docs/DEPENDENCIES.md).
 */
import { createLocalJWKSet, createRemoteJWKSet, customFetch, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createVerifier } from '../src/index.ts'
import { audience, issuer, makeKey, makeToken, start } from './fixtures.ts'
import { tokens, wholeToken } from './vectors.ts'

const key = makeKey('first')
const day = 86_400
const good = () => Response.json({ keys: [key.jwk] }, { headers: { 'cache-control': 'max-age=300' } })
const bad = () => new Response('', { status: 500 })

beforeEach(() => vi.useFakeTimers({ toFake: ['Date'], now: start * 1000 }))
afterEach(() => vi.useRealTimers())
const at = (seconds: number): unknown => vi.setSystemTime((start + seconds) * 1000)
const tokenAt = (seconds: number): string =>
  makeToken(key, { iat: start + seconds, exp: start + seconds + 300, jti: `${seconds}` })

/** Tokens each quarter of an hour of a day on which the endpoint answered once. @returns how many were accepted. */
async function acceptedInADay(verify: (token: string) => Promise<unknown>): Promise<number> {
  let accepted = 0
  for (let seconds = 0; seconds < day; seconds += 900) {
    at(seconds)
    await verify(tokenAt(seconds)).then(
      () => {
        accepted += 1
      },
      () => undefined,
    )
  }
  return accepted
}

test('a day without the token service: jose refuses everything, the verifier nothing', async () => {
  let answers = [good]
  const fetch = () => Promise.resolve((answers.shift() ?? bad)())
  const remote = createRemoteJWKSet(new URL('https://mint.example/jwks.json'), { [customFetch]: fetch })
  expect(await acceptedInADay((token) => jwtVerify(token, remote, { issuer, audience }))).toBe(1)

  answers = [good]
  const seconds = (): number => Date.now() / 1000
  const verifier = createVerifier({
    issuer,
    audience,
    fetch,
    nowSeconds: seconds,
    monotonicSeconds: seconds,
    onKeysFault: () => undefined,
  })
  expect(await acceptedInADay((token) => verifier.verify(token))).toBe(day / 900)
})

test('an empty set replaces the good one of jose', async () => {
  const answers = [good, () => Response.json({ keys: [] })]
  const fetch = () => Promise.resolve((answers.shift() ?? bad)())
  const remote = createRemoteJWKSet(new URL('https://mint.example/jwks.json'), { [customFetch]: fetch })
  expect(await jwtVerify(tokenAt(0), remote)).toBeDefined()
  at(601)
  await expect(jwtVerify(tokenAt(601), remote)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' })
})

test('jose accepts tokens of the vectors that must be refused, and refuses none that must be accepted', async () => {
  const { keySets, cases } = tokens()
  const differing: string[] = []
  for (const one of cases) {
    // What a token is bound to, and its scope, are no business of jose.
    if (one.requiredScope !== null || one.certificate !== null) continue
    vi.setSystemTime(one.now * 1000)
    const accepted = await Promise.resolve()
      .then(() =>
        jwtVerify(wholeToken(one.token), createLocalJWKSet(keySets[one.keys] as JSONWebKeySet), {
          issuer: one.issuer,
          audience: one.audience,
          algorithms: [...one.algorithms],
          typ: 'at+jwt',
          clockTolerance: one.leewaySeconds,
          requiredClaims: ['sub', 'client_id', 'jti', 'iat', 'exp'],
        }),
      )
      .then(
        () => true,
        () => false,
      )
    if (accepted !== (one.expected.result === 'accepted')) differing.push(one.name)
  }
  for (const name of [
    'token_malformed: newline at the end',
    'token_malformed: padding of the signature',
    'token_malformed: the last character of the signature in its other form',
    'token_malformed: scope twice',
    'header_unsupported: b64 false without crit',
    'key_unknown: an RSA key with the exponent 1',
    'key_unknown: an RSA key that can be factored',
    'claim_invalid: exp 1e400',
    'token_not_yet_valid: iat a day ahead',
  ])
    expect(differing).toContain(name)
  // A set with something that is no key at all is refused as a whole.
  expect(differing.filter((name) => name.startsWith('accepted'))).toEqual([
    'accepted: unknown kinds of keys in the set',
  ])
})

/** The verifier agrees with the vectors of the project, which other verifiers run as well. */
import { describe, expect, test } from 'vitest'
import {
  createRequestVerifier,
  createVerifier,
  readAuthorization,
  type Verifier,
  VerifyError,
  verifyErrorCodes,
} from '../src/index.ts'
import {
  authorization,
  codes,
  proofs,
  signedRequests,
  type TokenCase,
  tokens,
  wholeToken,
} from './vectors.ts'

const outcomeOf = (verified: Promise<unknown>): Promise<string> =>
  verified.then(
    () => 'accepted',
    (error: unknown) => {
      if (error instanceof VerifyError) return error.code
      throw error
    },
  )

const { keySets, cases } = tokens()

function verifierFor(one: TokenCase): Verifier {
  return createVerifier({
    issuer: one.issuer,
    audience: one.audience,
    algorithms: one.algorithms as never,
    leewaySeconds: one.leewaySeconds,
    keys: keySets[one.keys],
    nowSeconds: () => one.now,
  })
}

const contextOf = ({ requiredScope, certificate }: TokenCase) => ({
  scope: requiredScope ?? undefined,
  certificate: certificate ?? undefined,
})

describe('tokens.json', () => {
  test.each(cases)('$name', async (one) => {
    const verifier = verifierFor(one)
    const token = wholeToken(one.token)
    const expected = one.expected.code ?? 'accepted'
    expect(await outcomeOf(verifier.verify(token, contextOf(one)))).toBe(expected)
    // What is remembered of it changes nothing.
    expect(await outcomeOf(verifier.verify(token, contextOf(one)))).toBe(expected)
    if (one.expected.claims !== undefined)
      expect(await verifier.verify(token, contextOf(one))).toMatchObject(one.expected.claims)
  })

  test('one verifier for all cases of one setting answers as a new one for each', async () => {
    const alike = cases.filter(
      (one) => one.keys === 'standard' && one.algorithms.join() === 'ES256' && one.leewaySeconds === 10,
    )
    expect(alike.length).toBeGreaterThan(200)
    const [first] = alike
    if (first === undefined) throw new Error('no cases')
    const verifier = verifierFor(first)
    const outcomes: Record<string, string> = {}
    for (const one of [...alike, ...alike.toReversed()].filter(({ audience }) => audience === first.audience))
      outcomes[one.name] = await outcomeOf(verifier.verify(wholeToken(one.token), contextOf(one)))
    for (const one of alike)
      if (one.name in outcomes) expect(outcomes[one.name], one.name).toBe(one.expected.code ?? 'accepted')
  })
})

describe('dpop.json', () => {
  const { keys, issuer, audience, cases: proofCases } = proofs()
  test.each(proofCases)('$name', async (one) => {
    let now = one.now
    const verifier = createVerifier({ issuer, audience, keys, nowSeconds: () => now })
    const { method, url } = one
    for (const before of one.before) {
      now = before.now
      const dpop = { proof: before.proof, method, url }
      expect(await outcomeOf(verifier.verify(before.token, { dpop }))).toBe('accepted')
    }
    now = one.now
    const context = { dpop: { proof: one.proofs, method, url }, certificate: one.certificate ?? undefined }
    expect(await outcomeOf(verifier.verify(one.token, context))).toBe(one.expected.code ?? 'accepted')
  })
})

describe('signed-requests.json', () => {
  const { keys, tag, cases: requestCases } = signedRequests()
  test.each(requestCases)('$name', async (one) => {
    let now = one.now
    const verifier = createRequestVerifier({ keys, tag, nowSeconds: () => now })
    for (const before of one.before) {
      now = before.now
      expect(await outcomeOf(verifier.verify(before.request))).toBe('accepted')
    }
    now = one.now
    const verified = verifier.verify(one.request, { boundTo: one.boundTo ?? undefined })
    expect(await outcomeOf(verified)).toBe(one.expected.code ?? 'accepted')
    if (one.expected.result === 'accepted') expect(await verified).toEqual({ keyid: one.expected.keyid })
    // Headers as Node has them make no difference.
    const other = createRequestVerifier({ keys, tag, nowSeconds: () => now })
    const raw = { ...one.request, headers: one.request.headers.flat() }
    if (one.before.length === 0)
      expect(await outcomeOf(other.verify(raw, { boundTo: one.boundTo ?? undefined }))).toBe(
        one.expected.code ?? 'accepted',
      )
  })
})

describe('authorization.json', () => {
  test.each(authorization().cases)('$name', ({ authorization: values, expected }) => {
    const shown = readAuthorization(values)
    if (shown instanceof VerifyError) expect(shown.code).toBe(expected.code)
    else expect({ result: 'accepted', ...shown }).toEqual(expected)
  })
})

test('codes.json has every code, with its status and its error', () => {
  const ours = Object.entries(verifyErrorCodes).map(([code, { status, error = null }]) => [
    code,
    status,
    error,
  ])
  const theirs = Object.entries(codes()).map(([code, { status, error }]) => [code, status, error])
  expect(ours.sort()).toEqual(theirs.sort())
})

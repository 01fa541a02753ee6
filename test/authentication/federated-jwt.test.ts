/** Whose assertions are believed at all, and whose signatures. Without a service, and with keys that were uploaded. */
import { expect, test } from 'vitest'
import { readFederatedText } from '../../src/authentication/federated-assertion.ts'
import { tryAssertion } from '../../src/authentication/federated-jwt.ts'
import { RemoteKeys } from '../../src/authentication/remote-keys.ts'
import type { TrustTable } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { kubernetes, publishedKeys, type TokenChanges, tokenOf } from '../support/platforms.ts'
import { ruleDefaults } from '../support/registered.ts'

const own = 'https://tokens.example.com'
const now = 1_800_000_000
const remote = new RemoteKeys({
  fetch: () => Promise.reject(new Error('nothing is fetched here')),
  monotonicMilliseconds: () => 0,
  onFailed() {},
  onRecovered() {},
  onReplaced() {},
})

function trusting(
  issuer: string,
  keys: readonly Record<string, unknown>[],
  status: 'active' | 'disabled' = 'active',
): TrustTable {
  const rule = {
    ...ruleDefaults,
    rule: 'payments',
    conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
    clientId: 'billing',
  }
  const trusted = { issuer, status, keys: { kind: 'jwks' as const, keys }, rules: [rule] }
  return { issuers: new Map([[issuer, trusted]]), blocked: new Set(), resources: new Map() }
}

const published = publishedKeys(kubernetes).keys

async function answer(
  trust: TrustTable,
  changes: TokenChanges = {},
  ownIssuer = own,
): Promise<string | undefined> {
  const { assertion } = readFederatedText(tokenOf(kubernetes, ownIssuer, changes, now))
  const trial = await tryAssertion(
    trust,
    remote,
    assertion as NonNullable<typeof assertion>,
    undefined,
    ownIssuer,
    now,
  )
  return trial.refusal ?? trial.clientId
}

test('an issuer that is trusted, and its own key', async () => {
  expect(await answer(trusting(kubernetes.issuer, published))).toBe('billing')
  expect(await answer(trusting(kubernetes.issuer, published, 'disabled'))).toBe('assertion_issuer_untrusted')
  expect(await answer(trusting('https://other.example.com', published))).toBe('assertion_issuer_untrusted')
})

test('a token of our own is no assertion, also where somebody registered us', async () => {
  expect(await answer(trusting(kubernetes.issuer, published), {}, kubernetes.issuer)).toBe(
    'assertion_issuer_untrusted',
  )
})

test('a key of the set counts for its own algorithm and under its own name', async () => {
  const other = makeKey('RS256', 'other')
  const set = [...published, { ...other.publicJwk, kid: 'other', alg: 'RS256', use: 'sig' }]
  const trust = trusting(kubernetes.issuer, set)
  expect(await answer(trust, { key: other })).toBe('billing')
  expect(await answer(trust, { key: other, header: { kid: kubernetes.key.kid } })).toBe(
    'assertion_signature_wrong',
  )
  expect(await answer(trust, { header: { alg: 'PS256' } })).toBe('assertion_key_unknown')
  // Without a name it could be either.
  expect(await answer(trust, { header: { kid: undefined } })).toBe('assertion_key_unknown')
  expect(await answer(trusting(kubernetes.issuer, published), { header: { kid: undefined } })).toBe('billing')
  // Two under one name: a rotation that was done badly, and no reason to refuse.
  const twice = trusting(kubernetes.issuer, [
    { ...other.publicJwk, kid: kubernetes.key.kid, alg: 'RS256' },
    ...published,
  ])
  expect(await answer(twice)).toBe('billing')
})

test('a key that comes with the assertion is never looked at', async () => {
  const stranger = makeKey('RS256', 'stranger')
  const header = {
    jwk: stranger.publicJwk,
    jku: 'https://evil.example.com/keys',
    x5u: 'https://evil.example.com',
    x5c: ['AAAA'],
  }
  expect(await answer(trusting(kubernetes.issuer, published), { key: stranger, header })).toBe(
    'assertion_key_unknown',
  )
})

test('a row of keys that a hand spoiled verifies nothing, and the good ones beside it do', async () => {
  const [good] = published
  expect(
    await answer(
      trusting(kubernetes.issuer, [
        { kty: 'RSA', n: 'AQ', e: 'AQ' },
        { ...good, n: '' },
      ]),
    ),
  ).toBe('assertion_key_unknown')
  expect(await answer(trusting(kubernetes.issuer, [{ kty: 'oct', k: 'AAAA' }, ...published]))).toBe('billing')
})

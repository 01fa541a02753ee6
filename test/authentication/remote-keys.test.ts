/** Keys of others as a good verifier keeps them: with a clock and a fetch that the test holds. */
import { expect, test } from 'vitest'
import type { FetchDocument } from '../../src/authentication/remote-documents.ts'
import { type KeyAddress, RemoteKeys } from '../../src/authentication/remote-keys.ts'
import { limits } from '../../src/limits.ts'
import { makeKey, type TestKey } from '../support/assertion.ts'

const address = { kind: 'jwks_uri', url: 'https://idp.example.com/keys' } as const satisfies KeyAddress
const [one, two, three] = [makeKey('ES256', 'one'), makeKey('ES256', 'two'), makeKey('ES256', 'three')]
const set = (...keys: TestKey[]) => ({
  keys: keys.map(({ publicJwk, kid }) => ({ ...publicJwk, kid, use: 'sig' })),
})

/** A fetch that answers what the test says, as soon as the test says so. */
function open() {
  let milliseconds = 0
  let answer: unknown = set(one)
  let maxAgeSeconds: number | undefined
  const told: string[] = []
  const asked: string[] = []
  let gate: Promise<void> | undefined
  const fetch: FetchDocument = async (url) => {
    asked.push(url)
    await gate
    if (answer instanceof Error) throw answer
    return { text: typeof answer === 'string' ? answer : JSON.stringify(answer), maxAgeSeconds }
  }
  const keys = new RemoteKeys({
    fetch,
    monotonicMilliseconds: () => milliseconds,
    onFailed: (name, problem, kept) => told.push(`failed: ${name}: ${problem}, kept ${kept}`),
    onRecovered: () => told.push('recovered'),
    onReplaced: (_address, kids) => told.push(`replaced: ${kids.join()}`),
  })
  return {
    keys,
    told,
    asked,
    answer: (next: unknown, maxAge?: number) => {
      answer = next
      maxAgeSeconds = maxAge
    },
    pass: (seconds: number) => {
      milliseconds += seconds * 1_000
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return () => {
        gate = undefined
        resolve()
      }
    },
    names: () => keys.now(address)?.map(({ kid }) => kid),
    renewed: async () => (await keys.renewed(address))?.map(({ kid }) => kid),
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

test('500 who ask at once share one fetch, and so do those who come later', async () => {
  const { keys, asked, hold, renewed, names } = open()
  expect(names()).toBeUndefined()
  const release = hold()
  const waiting = Array.from({ length: 500 }, () => keys.renewed(address))
  release()
  expect(new Set((await Promise.all(waiting)).map((found) => found?.length))).toEqual(new Set([1]))
  // Unknown key ids, again and again: there is no second one before its time.
  for (let round = 0; round < 100; round += 1) expect(await renewed()).toEqual(['one'])
  expect(asked).toHaveLength(1)
})

test('a slow issuer keeps no more than some requests waiting, so that there is room for all others', async () => {
  const { keys, hold } = open()
  const release = hold()
  let answered = 0
  const ask = () => keys.renewed(address).then(() => (answered += 1))
  const waiting = Array.from({ length: limits.keysWaitingMax + 10 }, ask)
  await settle()
  expect(answered).toBe(10)
  release()
  await Promise.all(waiting)
  const next = hold()
  next()
  await ask()
  expect(answered).toBe(limits.keysWaitingMax + 11)
})

test('a new key is found after the pause, and one that was taken out is gone', async () => {
  const { asked, answer, pass, renewed, told } = open()
  expect(await renewed()).toEqual(['one'])
  answer(set(two))
  pass(limits.keysCooldownSeconds - 1)
  expect(await renewed()).toEqual(['one'])
  pass(1)
  expect(await renewed()).toEqual(['two'])
  expect(asked).toHaveLength(2)
  expect(told).toEqual([])
})

const [notJson, notObject] = [
  'its answer is no JSON that everybody reads alike',
  'its answer is no JSON object',
]
const [noSet, noKey] = ['its answer is no JWK Set', 'its answer has no key that can be used']

test.each<[string, unknown, problem: string]>([
  ['no keys', { keys: [] }, noKey],
  ['nothing', {}, noSet],
  ['a list', [], notObject],
  ['a number', 7, notObject],
  ['null', 'null', notObject],
  ['text', '"keys"', notObject],
  ['keys that are no list', { keys: 'x' }, noSet],
  ['HTML', '<html>', notJson],
  ['half of an answer', '{"keys":[{"kty":"EC"', notJson],
  ['a member twice', '{"keys":[],"keys":[]}', notJson],
  [
    'only keys of another kind',
    {
      keys: [
        { kty: 'oct', k: 'AAAA' },
        { kty: 'EC', crv: 'P-521' },
      ],
    },
    noKey,
  ],
  ['only keys for encryption', { keys: [{ ...one.publicJwk, use: 'enc' }] }, noKey],
  ['a private key', { keys: [{ ...one.publicJwk, d: 'AAAA' }] }, noKey],
  ['JSON that nests deep', `{"keys":${'['.repeat(200)}${']'.repeat(200)}}`, notJson],
  ['an error', new Error('it answers with the status 500'), 'it answers with the status 500'],
])('%s replaces nothing, and is told once', async (_title, hostile, problem) => {
  const { answer, pass, renewed, told } = open()
  expect(await renewed()).toEqual(['one'])
  answer(hostile)
  for (let round = 0; round < 3; round += 1) {
    pass(limits.keysCooldownSeconds)
    expect(await renewed()).toEqual(['one'])
  }
  const kept = limits.keysKeptSecondsMax - limits.keysCooldownSeconds
  expect(told).toEqual([`failed: jwks_uri ${address.url}: ${problem}, kept ${kept}`])
  answer(set(two))
  pass(limits.keysCooldownSeconds)
  expect(await renewed()).toEqual(['two'])
  expect(told.at(-1)).toBe('recovered')
})

test('keys of other kinds beside ours are no matter', async () => {
  const { answer, renewed } = open()
  const others = [
    { kty: 'EC', crv: 'P-521', x: 'A', y: 'B', kid: 'a' },
    null,
    7,
    { kty: 'RSA', n: 'AQ', e: 'AQ' },
  ]
  answer({ keys: [...others, ...set(one).keys, ...others] })
  expect(await renewed()).toEqual(['one'])
})

test('a million keys: only so many are looked at', async () => {
  const { answer, renewed } = open()
  answer({ keys: [...set(one).keys, ...Array.from({ length: 5_000 }, () => ({})), ...set(two).keys] })
  expect(await renewed()).toEqual(['one'])
})

test('the last good keys count for a day, and not for ever', async () => {
  const { answer, pass, names, renewed } = open()
  expect(await renewed()).toEqual(['one'])
  answer(new Error('gone'))
  pass(limits.keysKeptSecondsMax)
  expect(names()).toEqual(['one'])
  await settle()
  pass(1)
  expect(names()).toBeUndefined()
  await settle()
  expect(await renewed()).toBeUndefined()
})

test('while there are none, it is tried again sooner; failures have their pause as well', async () => {
  const { answer, asked, pass, renewed } = open()
  answer(new Error('gone'))
  for (let round = 0; round < 20; round += 1) expect(await renewed()).toBeUndefined()
  expect(asked).toHaveLength(1)
  answer(set(one))
  pass(limits.keysRetrySeconds)
  expect(await renewed()).toEqual(['one'])
})

test.each<[number | undefined, number]>([
  [undefined, limits.keysFreshSecondsMax],
  [0, limits.keysFreshSecondsMin],
  [120, 120],
  [31_536_000, limits.keysFreshSecondsMax],
])('with max-age=%s they are fetched again after %s s, and nobody waits for it', async (maxAge, seconds) => {
  const { answer, asked, pass, names, renewed } = open()
  answer(set(one), maxAge)
  await renewed()
  answer(set(two))
  pass(seconds)
  expect(names()).toEqual(['one'])
  await settle()
  expect(asked).toHaveLength(1)
  pass(1)
  expect(names()).toEqual(['one'])
  await settle()
  expect([asked.length, names()]).toEqual([2, ['two']])
})

test('another key under a key id that was there is told, and nothing else is', async () => {
  const { answer, pass, renewed, told } = open()
  const unnamed = (key: TestKey) => ({ ...key, kid: undefined })
  answer(set(one, unnamed(three)))
  await renewed()
  for (const next of [set(one, two, unnamed(one)), set(unnamed(two), two), set(one, two)]) {
    answer(next)
    pass(limits.keysCooldownSeconds)
    await renewed()
  }
  expect(told).toEqual([])
  answer(set({ ...three, kid: 'one' }, two))
  pass(limits.keysCooldownSeconds)
  await renewed()
  expect(told).toEqual(['replaced: one'])
})

test('a request that waits is counted and told, and one that gets its answer at once is not', async () => {
  const { keys, hold } = open()
  let told = 0
  keys.whenWaiting = () => {
    told += 1
  }
  const release = hold()
  const both = [keys.renewed(address), keys.renewed(address)]
  expect([told, keys.waiting]).toEqual([2, 2])
  release()
  await Promise.all(both)
  await keys.renewed(address)
  expect([told, keys.waiting]).toEqual([2, 0])
})

test('an RSA key without alg is for PS256 where a client publishes it, and for RS256 where an issuer does', async () => {
  const rsa = makeKey('RS256', 'rsa')
  const { keys, answer } = open()
  answer(set(rsa))
  const algorithms = async (from: KeyAddress) => (await keys.renewed(from))?.map(({ algorithm }) => algorithm)
  expect(await algorithms({ kind: 'client_jwks_uri', url: address.url })).toEqual(['PS256'])
  expect(await algorithms(address)).toEqual(['RS256'])
})

test('no more fetches at once than the limit, whoever asks', async () => {
  const { keys, asked, hold } = open()
  const release = hold()
  const all = Array.from({ length: 100 }, (_, index) =>
    keys.renewed({ kind: 'jwks_uri', url: `https://idp.example.com/${index}` }),
  )
  expect(asked).toHaveLength(limits.fetchesAtOnceMax)
  release()
  await Promise.all(all)
})

test('discovery: the metadata must be of the issuer, and a 404 leads to the other place (RFC 8414)', async () => {
  const issuer = 'https://idp.example.com/tenant/'
  const documents: Record<string, unknown> = {
    'https://idp.example.com/.well-known/oauth-authorization-server/tenant': {
      issuer,
      jwks_uri: 'https://idp.example.com/k',
    },
    'https://idp.example.com/k': set(one),
  }
  const failed: string[] = []
  let status = 404
  const make = () =>
    new RemoteKeys({
      async fetch(url) {
        if (!(url in documents)) throw Object.assign(new Error(`no ${url}`), { status })
        return { text: JSON.stringify(documents[url]), maxAgeSeconds: undefined }
      },
      monotonicMilliseconds: () => 0,
      onFailed: (name, problem) => failed.push(`${name}: ${problem}`),
      onRecovered() {},
      onReplaced() {},
    })
  expect(await make().renewed({ kind: 'discovery', issuer })).toHaveLength(1)
  // Any other answer may be a fault that passes.
  status = 500
  expect(await make().renewed({ kind: 'discovery', issuer })).toBeUndefined()
  documents['https://idp.example.com/tenant/.well-known/openid-configuration'] = {
    issuer: 'https://evil.example.com',
    jwks_uri: 'https://idp.example.com/k',
  }
  expect(await make().renewed({ kind: 'discovery', issuer })).toBeUndefined()
  documents['https://idp.example.com/tenant/.well-known/openid-configuration'] = { issuer }
  expect(await make().renewed({ kind: 'discovery', issuer })).toBeUndefined()
  expect(failed).toEqual([
    `discovery ${issuer}: no ${issuer}.well-known/openid-configuration`,
    `discovery ${issuer}: its metadata is of another issuer`,
    `discovery ${issuer}: its metadata has no jwks_uri`,
  ])
})

test.each([
  ['https://idp.example.com', ''],
  ['https://idp.example.com/', ''],
  ['https://idp.example.com/tenant', '/tenant'],
])('the metadata of %s is looked for in two places, without a slash too many', async (issuer, path) => {
  const { keys, answer, asked } = open()
  answer(Object.assign(new Error('there is none'), { status: 404 }))
  expect(await keys.renewed({ kind: 'discovery', issuer })).toBeUndefined()
  expect(asked).toEqual([
    `https://idp.example.com${path}/.well-known/openid-configuration`,
    `https://idp.example.com/.well-known/oauth-authorization-server${path}`,
  ])
})

test('a bundle of SPIFFE: only its keys for tokens, and its own hint', async () => {
  const bundle: KeyAddress = { kind: 'spiffe_bundle', url: 'https://spire.example.com' }
  const { keys, answer, pass, asked } = open()
  const { publicJwk } = one
  answer({
    keys: [
      { ...publicJwk, kid: 'x', use: 'x509-svid', x5c: ['AAAA'] },
      { ...two.publicJwk, kid: 'plain' },
      { ...publicJwk, kid: 'jwt', use: 'jwt-svid' },
    ],
    spiffe_sequence: 7,
    spiffe_refresh_hint: 90,
  })
  expect((await keys.renewed(bundle))?.map(({ kid, algorithm }) => [kid, algorithm])).toEqual([
    ['jwt', 'ES256'],
  ])
  pass(91)
  keys.now(bundle)
  await settle()
  expect(asked).toHaveLength(2)
})

test.each<[title: string, address: KeyAddress, use: string, hint: unknown]>([
  ['that is no number', { kind: 'spiffe_bundle', url: 'https://spire.example.com' }, 'jwt-svid', 'soon'],
  ['in a set that is no bundle', address, 'sig', 90],
])('a hint %s is not looked at', async (_title, from, use, hint) => {
  const { keys, answer, pass, asked } = open()
  answer({ keys: [{ ...one.publicJwk, use }], spiffe_refresh_hint: hint }, 200)
  await keys.renewed(from)
  for (const [seconds, fetches] of [
    [200, 1],
    [1, 2],
  ] as const) {
    pass(seconds)
    keys.now(from)
    await settle()
    expect(asked).toHaveLength(fetches)
  }
})

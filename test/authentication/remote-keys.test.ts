/** Keys of others as a good verifier keeps them: with a clock and a fetch that the test holds. */
import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { makeKey, type TestKey } from '../support/assertion.ts'
import { keysAddress as address, keySet, openRemoteKeys, settle } from '../support/remote-keys.ts'

const [one, two, three] = [makeKey('ES256', 'one'), makeKey('ES256', 'two'), makeKey('ES256', 'three')]
const open = () => openRemoteKeys(keySet(one))

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
  answer(keySet(two))
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
  answer(keySet(two))
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
  answer({ keys: [...others, ...keySet(one).keys, ...others] })
  expect(await renewed()).toEqual(['one'])
})

test('a million keys: only so many are looked at', async () => {
  const { answer, renewed } = open()
  answer({ keys: [...keySet(one).keys, ...Array.from({ length: 5_000 }, () => ({})), ...keySet(two).keys] })
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
  answer(keySet(one))
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
  answer(keySet(one), maxAge)
  await renewed()
  answer(keySet(two))
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
  answer(keySet(one, unnamed(three)))
  await renewed()
  for (const next of [keySet(one, two, unnamed(one)), keySet(unnamed(two), two), keySet(one, two)]) {
    answer(next)
    pass(limits.keysCooldownSeconds)
    await renewed()
  }
  expect(told).toEqual([])
  answer(keySet({ ...three, kid: 'one' }, two))
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

/** Documents that clients publish about themselves, hostile ones too, with a clock and a fetch that the test holds. */
import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openClientMetadata } from '../../src/authentication/client-metadata.ts'
import type { FetchDocument } from '../../src/authentication/remote-documents.ts'
import { limits } from '../../src/limits.ts'
import { makeKey } from '../support/assertion.ts'

const url = 'https://agents.example.com/one.json'
const place = { url, prefix: 'https://agents.example.com/' }
const [key, rsa] = [makeKey('ES256', 'one'), makeKey('RS256', 'rsa')]
const jwk = { ...key.publicJwk, kid: 'one' }
const good = { client_id: url, token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } }

type Answer = unknown

function open(answers: Record<string, Answer> = { [url]: good }, maxAges: Record<string, number> = {}) {
  let milliseconds = 0
  const told: string[] = []
  const asked: (readonly [string, number | undefined])[] = []
  const fetch: FetchDocument = async (address, bytesMax) => {
    asked.push([address, bytesMax])
    const answer = answers[address]
    if (answer === undefined)
      throw Object.assign(new Error('it answers with the status 404'), { status: 404 })
    if (answer instanceof Error) throw answer
    const text = typeof answer === 'string' ? answer : JSON.stringify(answer)
    return { text, maxAgeSeconds: maxAges[address] }
  }
  const documents = openClientMetadata({
    fetch,
    monotonicMilliseconds: () => milliseconds,
    onFailed: (at, problem, kept) => told.push(`${at} failed: ${problem}, kept ${kept}`),
    onRecovered: (at) => told.push(`${at} recovered`),
    onChanged: (at, thumbprints) => told.push(`${at} changed: ${thumbprints.length}`),
  })
  return {
    documents,
    told,
    asked,
    answers,
    pass: (seconds: number) => {
      milliseconds += seconds * 1_000
    },
    thumbprints: async () => (await documents.renewed(place))?.keys.map(({ thumbprint }) => thumbprint),
  }
}

test('a document gives its keys and its hash, and is read within its own bound', async () => {
  const { documents, asked } = open()
  expect(await documents.renewed(place)).toMatchObject({
    keys: [{ thumbprint: key.thumbprint }],
    documentHash: hash('sha256', JSON.stringify(good), 'base64url'),
  })
  expect(asked).toEqual([[url, limits.clientMetadataBytesMax]])
})

test('keys at jwks_uri count, of the same host and port only', async () => {
  const at = 'https://agents.example.com/keys'
  const { jwks, ...document } = good
  const run = open({ [url]: { ...document, jwks_uri: at }, [at]: jwks })
  expect(await run.thumbprints()).toEqual([key.thumbprint])
  expect(run.asked).toEqual([
    [url, limits.clientMetadataBytesMax],
    [at, limits.clientMetadataKeysBytesMax],
  ])
})

test('a document is as fresh as it and its keys say, whichever ends first', async () => {
  const at = 'https://agents.example.com/keys'
  const { jwks, ...document } = good
  const freshFor = async (maxAges: Record<string, number>): Promise<number> => {
    const run = open({ [url]: { ...document, jwks_uri: at }, [at]: jwks }, maxAges)
    await run.thumbprints()
    const { length } = run.asked
    for (let seconds = 0; ; seconds += 10) {
      run.documents.now(place)
      if (run.asked.length > length) return seconds - 10
      run.pass(10)
    }
  }
  const { keysFreshSecondsMin: least, keysFreshSecondsMax: most } = limits
  expect(await freshFor({})).toBe(most)
  expect(await freshFor({ [url]: least + 50 })).toBe(least + 50)
  expect(await freshFor({ [at]: least + 50 })).toBe(least + 50)
  expect(await freshFor({ [url]: least + 50, [at]: least + 90 })).toBe(least + 50)
})

test('the algorithm that a document names chooses among its keys, and Ed25519 is EdDSA', async () => {
  const edwards = makeKey('EdDSA', 'edwards')
  const keys = [jwk, edwards.publicJwk]
  for (const name of ['Ed25519', 'EdDSA']) {
    const run = open({ [url]: { ...good, token_endpoint_auth_signing_alg: name, jwks: { keys } } })
    expect(await run.thumbprints()).toEqual([edwards.thumbprint])
  }
  expect(await open({ [url]: { ...good, jwks: { keys } } }).thumbprints()).toHaveLength(2)
})

const { jwks: _jwks, ...bare } = good
describe('is refused, and nothing else is fetched:', () => {
  test.for<[string, Answer, RegExp]>([
    ['HTML', '<!doctype html><title>Sign in</title>', /no JSON/],
    ['a list', [good], /no JSON object/],
    ['a member twice', JSON.stringify(good).replace('{', `{"client_id":"${url}",`), /no JSON that everybody/],
    ['nothing', '', /no JSON/],
    ['deep nesting', `${'['.repeat(40)}${']'.repeat(40)}`, /no JSON/],
    ['another client_id', { ...good, client_id: `${url}/` }, /another client_id/],
    ['no client_id', { ...good, client_id: undefined }, /another client_id/],
    ['a client_id in a list', { ...good, client_id: [url] }, /another client_id/],
    ['the usual port in its client_id', { ...good, client_id: url.replace('.com/', '.com:443/') }, /another/],
    ['a secret', { ...good, client_secret: 'x' }, /has the member client_secret/],
    ['the end of a secret', { ...good, client_secret_expires_at: 0 }, /client_secret_expires_at/],
    ['a method with a secret', { ...good, token_endpoint_auth_method: 'client_secret_basic' }, /private_key/],
    ['no method', { ...good, token_endpoint_auth_method: undefined }, /private_key_jwt/],
    ['a client for people', { ...good, grant_types: ['authorization_code'] }, /grant_types/],
    ['grant_types as text', { ...good, grant_types: 'client_credentials' }, /grant_types/],
    ['an unknown algorithm', { ...good, token_endpoint_auth_signing_alg: 'none' }, /signing_alg/],
    ['an algorithm in a list', { ...good, token_endpoint_auth_signing_alg: ['ES256'] }, /signing_alg/],
    ['keys twice', { ...good, jwks_uri: 'https://agents.example.com/keys' }, /one of jwks and jwks_uri/],
    ['no keys', bare, /one of jwks and jwks_uri/],
    ['keys elsewhere', { ...bare, jwks_uri: 'https://example.com/keys' }, /same host/],
    ['keys at another port', { ...bare, jwks_uri: 'https://agents.example.com:8443/keys' }, /same host/],
    ['keys over http', { ...bare, jwks_uri: 'http://agents.example.com/keys' }, /same host/],
    ['keys behind a user', { ...bare, jwks_uri: 'https://a@agents.example.com/keys' }, /same host/],
    ['an empty set', { ...good, jwks: { keys: [] } }, /no key that can be used/],
    ['no set', { ...good, jwks: [jwk] }, /no JWK Set/],
    ['text for a set', { ...good, jwks: 'keys' }, /no JWK Set/],
    ['null for a set', { ...good, jwks: null }, /no JWK Set/],
    ['a list for an address', { ...bare, jwks_uri: ['https://agents.example.com/keys'] }, /same host/],
    ['too many keys', { ...good, jwks: { keys: Array(11).fill(jwk) } }, /more than 10/],
    ['a private key', { ...good, jwks: { keys: [jwk, { ...jwk, d: 'x' }] } }, /private or symmetric/],
    ['a symmetric key', { ...good, jwks: { keys: [jwk, { kty: 'oct', k: 'x' }] } }, /private or symmetric/],
    ['a key of another algorithm', { ...good, token_endpoint_auth_signing_alg: 'PS256' }, /no key/],
  ])('%s', async ([, answer, problem]) => {
    const run = open({ [url]: answer })
    expect(await run.thumbprints()).toBeUndefined()
    expect(run.documents.problemOf(place)).toMatch(problem)
    // Nothing of the answer is in the problem, which the ledger keeps.
    expect(run.documents.problemOf(place)).not.toMatch(/doctype|example|Sign/)
    expect(run.asked).toHaveLength(1)
    // Strangers choose the addresses, so the log does not tell of each.
    expect(run.told).toEqual([])
  })
})

test('whatever a host answers, there are keys of it or a problem without any part of it', async () => {
  const member = fc.constantFrom(...Object.keys(good), 'jwks_uri', 'grant_types', 'client_secret')
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(url, 'private_key_jwt', good.jwks, 'secret-word'),
  )
  await fc.assert(
    fc.asyncProperty(fc.dictionary(member, value), fc.boolean(), async (changes, isWhole) => {
      const run = open({ [url]: isWhole ? { ...good, ...changes } : { ...changes, more: 'secret-word' } })
      const keys = await run.thumbprints()
      const problem = run.documents.problemOf(place)
      expect(keys === undefined).toBe(problem !== undefined)
      expect(problem ?? '').not.toContain('secret-word')
      if (keys !== undefined) expect(keys.every((thumbprint) => /^[\w-]{43}$/.test(thumbprint))).toBe(true)
    }),
  )
})

test('members for other grants, and keys of other kinds, are not looked at', async () => {
  const more = {
    redirect_uris: ['javascript:x'],
    logo_uri: 7,
    scope: 'everything',
    grant_types: ['client_credentials'],
  }
  const keys = [{ kty: 'XYZ' }, jwk, { ...rsa.publicJwk, alg: 'RS256' }]
  const run = open({ [url]: { ...good, ...more, jwks: { keys } } })
  expect(await run.thumbprints()).toEqual([key.thumbprint, rsa.thumbprint])
})

test('as many keys as a client may have count', async () => {
  const { keysPerClientMax } = limits
  const run = open({ [url]: { ...good, jwks: { keys: Array(keysPerClientMax).fill(jwk) } } })
  expect(await run.thumbprints()).toHaveLength(keysPerClientMax)
})

test('a private key at jwks_uri, and a hostile set there, give nothing', async () => {
  const at = 'https://agents.example.com/keys'
  for (const set of [
    { keys: [{ ...jwk, d: 'x' }] },
    '<html>',
    { keys: 'x' },
    new Error('its answer has more'),
  ]) {
    const run = open({ [url]: { ...bare, jwks_uri: at }, [at]: set })
    expect(await run.thumbprints()).toBeUndefined()
  }
})

test('the last good document counts while there is an error, and not when it is gone', async () => {
  const run = open()
  await run.thumbprints()
  run.answers[url] = new Error('it answers with the status 500')
  run.pass(limits.keysFreshSecondsMax + 1)
  expect(await run.thumbprints()).toEqual([key.thumbprint])
  run.answers[url] = '<html>'
  run.pass(limits.keysCooldownSeconds)
  expect(await run.thumbprints()).toEqual([key.thumbprint])
  run.answers[url] = good
  run.pass(limits.keysCooldownSeconds)
  await run.thumbprints()
  expect(run.told).toEqual([
    expect.stringMatching(/failed: it answers with the status 500, kept \d+$/),
    `${url} recovered`,
  ])
  run.told.length = 0
  run.answers[url] = undefined
  run.pass(limits.keysCooldownSeconds)
  expect(await run.thumbprints()).toBeUndefined()
  run.answers[url] = { ...good, jwks: { keys: [rsa.publicJwk] } }
  run.pass(limits.keysRetrySeconds)
  expect(await run.thumbprints()).toEqual([rsa.thumbprint])
  expect(run.told).toEqual([expect.stringContaining('kept undefined'), `${url} recovered`])
})

test('new keys replace the old ones, and it is told', async () => {
  const run = open()
  await run.thumbprints()
  run.answers[url] = { ...good, jwks: { keys: [rsa.publicJwk] } }
  run.pass(limits.keysCooldownSeconds)
  expect(await run.thumbprints()).toEqual([rsa.thumbprint])
  expect(run.told).toEqual([`${url} changed: 1`])
})

test('invented addresses cause only so many fetches for a prefix, and remove no good document', async () => {
  const run = open()
  await run.thumbprints()
  const madeUp = limits.clientMetadataDocumentsMax + limits.clientMetadataUnseenPerMinuteMax
  for (let number = 0; number < madeUp; number += 1) {
    await run.documents.renewed({ ...place, url: `https://agents.example.com/made-up-${number}` })
  }
  expect(run.asked).toHaveLength(limits.clientMetadataUnseenPerMinuteMax)
  expect(run.documents.now(place)?.keys).toHaveLength(1)
  // Another prefix has its own.
  const other = { url: 'https://other.example.com/a', prefix: 'https://other.example.com/' }
  await run.documents.renewed(other)
  expect(run.asked.at(-1)?.[0]).toBe(other.url)
  run.pass(61)
  await run.documents.renewed({ ...place, url: 'https://agents.example.com/later' })
  expect(run.asked.at(-1)?.[0]).toBe('https://agents.example.com/later')
})

/**
 * What the verifier does with keys while their endpoint is away, slow, wrong or hostile. All time is a test's own.
 *
 * Long because every way in which keys are fetched, kept and replaced is tried here.
 */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createVerifier, type Verifier, type VerifierOptions, VerifyError } from '../src/index.ts'
import { elapsedClock } from '../src/options.ts'
import { audience, issuer, makeKey, makeToken, TestClock, type TestKey } from './fixtures.ts'

const first = makeKey('first')
const second = makeKey('second')

/** Answers as each test wants it to. */
let answer: (response: ServerResponse) => void
let fetches: { readonly name: string | undefined }[]
let clock: TestClock
let faults: Error[]
let server: Server
let jwksUri: string

beforeAll(async () => {
  server = createServer((request, response) => {
    fetches.push({ name: request.headers['mintmark-verifier']?.toString() })
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  jwksUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  fetches = []
  faults = []
  clock = new TestClock()
  answer = keys(first)
})

const send = (body: string | Buffer, status = 200, headers: Record<string, string> = {}) => {
  return (response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
  }
}
const keySet = (...published: readonly TestKey[]): string =>
  JSON.stringify({ keys: published.map(({ jwk }) => jwk) })
const keys = (...published: readonly TestKey[]) =>
  send(keySet(...published), 200, { 'cache-control': 'public, max-age=300, stale-if-error=86400' })

const open = (options: Partial<VerifierOptions> = {}): Verifier =>
  createVerifier({
    issuer,
    audience,
    jwksUri,
    nowSeconds: clock.nowSeconds,
    monotonicSeconds: clock.monotonicSeconds,
    onKeysFault: (fault) => faults.push(fault),
    ...options,
  })

const token = (key: TestKey, jti = 'test-token'): string =>
  makeToken(key, { iat: clock.wall, exp: clock.wall + 300, jti })

const outcome = (verified: Promise<unknown>): Promise<string> =>
  verified.then(
    () => 'accepted',
    (error: unknown) => (error instanceof VerifyError ? error.code : String(error)),
  )

/** From the second time on a token is remembered. */
async function remember(verifier: Verifier, remembered: string): Promise<void> {
  for (let time = 1; time <= 2; time += 1) expect(await outcome(verifier.verify(remembered))).toBe('accepted')
}

/** Until what was begun in the background has come to its end. */
const settled = (faultsWanted: number) => expect.poll(() => faults.length).toBe(faultsWanted)

test('it names itself, and fetches once for all who ask at once', async () => {
  const verifier = open({ name: 'orders' })
  const outcomes = await Promise.all(
    Array.from({ length: 500 }, (_, index) => outcome(verifier.verify(token(first, `${index}`)))),
  )
  expect(new Set(outcomes)).toEqual(new Set(['accepted']))
  expect(fetches).toEqual([{ name: 'orders' }])
})

describe('nobody can make it fetch more often than once in ten seconds', () => {
  test('by made-up kids', async () => {
    const verifier = open()
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
    for (let index = 0; index < 1_000; index += 1)
      expect(await outcome(verifier.verify(token({ ...first, kid: `made-up-${index}` })))).toBe('key_unknown')
    expect(fetches).toHaveLength(1)
    clock.pass(10)
    for (let index = 0; index < 1_000; index += 1)
      expect(await outcome(verifier.verify(token({ ...first, kid: `made-up-${index}` })))).toBe('key_unknown')
    expect(fetches).toHaveLength(2)
  })

  test('while the endpoint fails', async () => {
    answer = send('', 500)
    const verifier = open()
    for (let index = 0; index < 50; index += 1)
      expect(await outcome(verifier.verify(token(first)))).toBe('keys_unavailable')
    expect(fetches).toHaveLength(1)
    answer = keys(first)
    clock.pass(9)
    expect(await outcome(verifier.verify(token(first)))).toBe('keys_unavailable')
    clock.pass(1)
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
    expect(fetches).toHaveLength(2)
  })

  test('when the wall clock is put back, or ahead', async () => {
    const verifier = open()
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
    for (const seconds of [-3_600, 7_200]) {
      clock.wall += seconds
      expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
      expect(await outcome(verifier.verify(token({ ...first, kid: 'made-up' })))).toBe('key_unknown')
    }
    expect(fetches).toHaveLength(1)
    clock.monotonic += 10
    expect(await outcome(verifier.verify(token(second)))).toBe('key_unknown')
    expect(fetches).toHaveLength(2)
  })
})

test('without keys the answer is 503, with the time after which to come back', async () => {
  answer = send('', 500)
  const error = await open()
    .verify(token(first))
    .catch((refused: unknown) => refused)
  expect(error).toMatchObject({ code: 'keys_unavailable', status: 503, wwwAuthenticate: undefined })
  expect(error).toMatchObject({ retryAfterSeconds: 10 })
  expect(faults[0]?.cause).toMatchObject({ message: 'The answer has the status 500.' })
})

test('a new key is taken when the first token comes with it', async () => {
  const verifier = open()
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  clock.pass(10)
  answer = keys(first, second)
  expect(await outcome(verifier.verify(token(second)))).toBe('accepted')
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
})

test('a key that is taken out is refused after max-age, also for tokens that are remembered', async () => {
  answer = keys(first, second)
  const verifier = open()
  const remembered = makeToken(first, { exp: clock.wall + 3_600 })
  await remember(verifier, remembered)
  answer = keys(second)
  clock.pass(239)
  expect(await outcome(verifier.verify(remembered))).toBe('accepted')
  expect(fetches).toHaveLength(1)
  clock.pass(61)
  expect(await outcome(verifier.verify(remembered))).toBe('key_unknown')
  expect(await outcome(verifier.verify(token(second)))).toBe('accepted')
})

test('keys are fetched before max-age is over, and nobody waits for it', async () => {
  const verifier = open()
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  clock.pass(240)
  answer = () => undefined
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  await expect.poll(() => fetches.length).toBe(2)
})

/** What comes instead of a set. */
const failures: Record<string, (response: ServerResponse) => void> = {
  'the status 500': send(keySet(first), 500),
  'the status 404': send(keySet(first), 404),
  HTML: send('<html>Service unavailable</html>', 200, { 'content-type': 'text/html' }),
  'HTML that says it is JSON': send('<html>Service unavailable</html>'),
  'a set that says it is HTML': send(keySet(second), 200, { 'content-type': 'text/html' }),
  nothing: send(''),
  'an empty set': send('{"keys":[]}'),
  'an empty object': send('{}'),
  'a list': send('[]'),
  null: send('null'),
  'half of a set': send(keySet(first).slice(0, 100)),
  'no UTF-8': send(Buffer.from([0x22, 0xff, 0x22])),
  'deep JSON': send(`{"keys":${'['.repeat(10_000)}${']'.repeat(10_000)}}`),
  'keys twice': send(`{"keys":[],"keys":${JSON.stringify([second.jwk])}}`),
  'no usable key': send('{"keys":[{"kty":"oct","kid":"first","alg":"HS256","k":"dGVzdA"}]}'),
  'another key under the same kid': send(keySet(makeKey('first'), second)),
  'a redirect to another set': (response) => {
    if (response.req.url?.includes('other')) return send(keySet(second))(response)
    response.writeHead(302, { location: `${jwksUri}?other` }).end()
  },
  'a body without an end': (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = (): void => {
      if (!response.destroyed) response.write(' '.repeat(65_536), more)
    }
    more()
  },
  'a connection that breaks': (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{', () => response.destroy())
  },
}

describe.each(Object.entries(failures))('instead of a set comes %s', (_, failure) => {
  test('the last good set stays in use for a day, and not for longer', async () => {
    const verifier = open()
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
    answer = failure
    let accepted = 0
    for (let minutes = 15; minutes <= 24 * 60; minutes += 15) {
      clock.pass(15 * 60)
      if ((await outcome(verifier.verify(token(first, `${minutes}`)))) === 'accepted') accepted += 1
      await settled(fetches.length - 1)
    }
    expect(accepted).toBe(96)
    clock.pass(301)
    expect(await outcome(verifier.verify(token(first)))).toBe('keys_unavailable')
    answer = keys(first)
    clock.pass(10)
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  })
})

test('while fetches fail, nobody waits for the next one', async () => {
  const verifier = open()
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  answer = send('', 500)
  clock.pass(300)
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  // From here on the endpoint takes requests and never answers.
  answer = () => undefined
  for (let count = 0; count < 20; count += 1) {
    clock.pass(10)
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  }
})

test('the service can ask for a shorter time than a day', async () => {
  answer = send(keySet(first), 200, { 'cache-control': 'max-age=60, stale-if-error=600' })
  const verifier = open()
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  answer = send('', 503)
  clock.pass(659)
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  clock.pass(1)
  expect(await outcome(verifier.verify(token(first)))).toBe('keys_unavailable')
})

test('a max-age that is shorter than ten seconds refuses no good token', async () => {
  answer = send(keySet(first), 200, { 'cache-control': 'max-age=0' })
  const verifier = open()
  for (let second = 0; second < 60; second += 1) {
    expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
    clock.pass(1)
  }
})

describe('a token that is remembered', () => {
  test('expires', async () => {
    const verifier = open()
    const remembered = token(first)
    await remember(verifier, remembered)
    clock.pass(309)
    expect(await outcome(verifier.verify(remembered))).toBe('accepted')
    clock.pass(1)
    expect(await outcome(verifier.verify(remembered))).toBe('token_expired')
  })

  test('is refused when the clock is put back before it was issued', async () => {
    const verifier = open()
    const remembered = token(first)
    await remember(verifier, remembered)
    clock.wall -= 60
    expect(await outcome(verifier.verify(remembered))).toBe('token_not_yet_valid')
  })

  test('is not taken for another one that differs in its last character', async () => {
    const verifier = open()
    const remembered = token(first)
    await remember(verifier, remembered)
    for (const other of [`${remembered}=`, `${remembered} `, `${remembered}\n`, remembered.slice(0, -1)])
      expect(await outcome(verifier.verify(other))).toBe('token_malformed')
  })

  test('stays remembered when the same keys are fetched again', async () => {
    const verifier = open()
    const remembered = makeToken(first, { exp: clock.wall + 3_600 })
    await remember(verifier, remembered)
    const claims = await verifier.verify(remembered)
    clock.pass(300)
    // Whoever comes after max-age waits for the fetch.
    expect(await outcome(verifier.verify(token(first, 'another')))).toBe('accepted')
    expect(fetches).toHaveLength(2)
    expect(await verifier.verify(remembered)).toBe(claims)
  })

  test('has claims that nobody can change', async () => {
    const verifier = open()
    const remembered = makeToken(first, { list: [{ a: 1 }] })
    await remember(verifier, remembered)
    const claims = await verifier.verify(remembered)
    expect(() => Object.assign(claims, { scope: 'admin' })).toThrow(TypeError)
    expect(() => Object.assign((claims['list'] as object[])[0] as object, { a: 2 })).toThrow(TypeError)
  })
})

test('what a cache on the way has kept is that old already', async () => {
  answer = send(keySet(first), 200, { 'cache-control': 'max-age=300', age: '290' })
  const verifier = open()
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  clock.pass(10)
  answer = keys(second)
  expect(await outcome(verifier.verify(token(first)))).toBe('key_unknown')
})

test('a key that may be in a set that cannot be fetched is no fault of the caller', async () => {
  const verifier = open()
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  answer = send('', 500)
  clock.pass(299)
  expect(await outcome(verifier.verify(token(second)))).toBe('key_unknown')
  clock.pass(10)
  expect(await outcome(verifier.verify(token(first)))).toBe('accepted')
  expect(await outcome(verifier.verify(token(second)))).toBe('keys_unavailable')
})

test('the clock of keys only grows, and counts the time that the machine slept', () => {
  let [monotonic, wall] = [100, 1_800_000_000]
  const elapsed = elapsedClock(
    () => monotonic,
    () => wall,
  )
  expect(elapsed()).toBe(100)
  monotonic += 5
  wall += 5.2
  expect(elapsed()).toBe(105)
  // Asleep: only the wall clock goes on.
  wall += 36_000
  expect(elapsed()).toBeCloseTo(36_105, 0)
  wall -= 7_200
  expect(elapsed()).toBeCloseTo(36_105, 0)
  monotonic += 10
  wall += 10
  expect(elapsed()).toBeCloseTo(36_115, 0)
})

/** Whatever a token endpoint answers, there is a token or an error that says why, within bounds. */
import { describe, expect, test } from 'vitest'
import { createTokenSource, TokenError, type TokenSourceOptions } from '../src/index.ts'
import { type Answer, FakeTime, failureOf, json, never, startServer, tokens } from './support.ts'

const orders = 'https://orders.example.com'
const secret = 'a-secret-that-stands-in-no-message'

async function newSource(answers: readonly Answer[], options: Partial<TokenSourceOptions> = {}) {
  const server = await startServer(...answers)
  const time = new FakeTime()
  const source = createTokenSource({
    issuer: server.url,
    clientId: 'billing',
    clientSecret: secret,
    time,
    ...options,
  })
  return { server, time, source }
}

const html: Answer = (response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sign in</html>')
const ok = { access_token: 'token', token_type: 'Bearer', expires_in: 100 }

describe('what is no token is not taken for one', () => {
  test.each<[name: string, answer: Answer]>([
    ['HTML', html],
    [
      'HTML that calls itself JSON',
      (r) => r.writeHead(200, { 'content-type': 'application/json' }).end('<html>'),
    ],
    [
      'JSON that calls itself HTML',
      (r) => r.writeHead(200, { 'content-type': 'text/html' }).end(JSON.stringify(ok)),
    ],
    ['nothing', (r) => r.writeHead(200, { 'content-type': 'application/json' }).end()],
    ['a list', json([ok])],
    ['null', json(null)],
    ['no token', json({ ...ok, access_token: undefined })],
    ['an empty token', json({ ...ok, access_token: '' })],
    ['a token that is a number', json({ ...ok, access_token: 7 })],
    ['a token with a line break', json({ ...ok, access_token: 'a\r\nx: y' })],
    ['a token that is too long', json({ ...ok, access_token: 'a'.repeat(16_385) })],
    ['another type', json({ ...ok, token_type: 'mac' })],
    ['no type', json({ ...ok, token_type: undefined })],
    ['a type that nobody asked for', json({ ...ok, token_type: 'DPoP' })],
    ['a lifetime of 0', json({ ...ok, expires_in: 0 })],
    ['a negative lifetime', json({ ...ok, expires_in: -1 })],
    ['a lifetime that is a text', json({ ...ok, expires_in: '300' })],
    ['a redirect', (r) => r.writeHead(302, { location: 'https://attacker.example/token' }).end()],
    ['a redirect that keeps the body', (r) => r.writeHead(307, { location: '/elsewhere' }).end()],
    ['201', json(ok, 201)],
    ['404 without an error of OAuth', json({}, 404)],
    ['a body without an end', (r) => endless(r)],
    [
      'a body that is too long',
      (r) => r.writeHead(200, { 'content-type': 'application/json' }).end(' '.repeat(70_000)),
    ],
  ])('%s', async (_name, answer) => {
    const { server, source } = await newSource([answer])
    const error = (await failureOf(source.token(orders))) as TokenError
    expect(error).toBeInstanceOf(TokenError)
    expect(error.code).toBe('response_invalid')
    expect(error.isPassing).toBe(false)
    // Asking again would not help, and a redirect is not followed.
    expect(server.requests).toHaveLength(1)
  })

  test('a body without an end, beside a nonce for the next proof', async () => {
    let sent = 0
    const answer: Answer = (response) => {
      const { socket } = response.req
      socket.on('close', () => {
        sent = socket.bytesWritten
      })
      endless(response, 400, { 'dpop-nonce': 'next' })
    }
    const { source } = await newSource([answer], { dpop: true, timeoutSeconds: 2 })
    expect(await failureOf(source.token(orders))).toMatchObject({ code: 'response_invalid' })
    await expect.poll(() => sent).toBeGreaterThan(0)
    // What the two buffers of the connection hold, and not what a server can send in two seconds.
    expect(sent).toBeLessThan(20_000_000)
  })

  function endless(response: Parameters<Answer>[0], status = 200, headers = {}): void {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    const more = (): void => {
      if (!response.destroyed) response.write(' '.repeat(16_384), more)
    }
    more()
  }
})

describe('a refusal', () => {
  test('says why, is not repeated, and is remembered for a moment', async () => {
    const refused = json({ error: 'invalid_scope', error_description: 'The scope a is not granted.' }, 400, {
      'x-request-id': 'r-1',
    })
    const { server, time, source } = await newSource([refused, tokens()])
    const error = await failureOf(source.token(orders))
    expect(error).toMatchObject({
      code: 'refused',
      status: 400,
      error: 'invalid_scope',
      description: 'The scope a is not granted.',
      requestId: 'r-1',
      message: 'The token service refuses: invalid_scope. The scope a is not granted.',
    })
    expect(await failureOf(source.token(orders))).toBe(error)
    expect(server.requests).toHaveLength(1)
    // Only of this audience.
    expect(await source.token('other')).toBe('token-1')
    time.pass(5)
    expect(await source.token(orders)).toBe('token-2')
  })

  test('has nothing of the secret in it, whatever the service sends back', async () => {
    const echoing: Answer = (response, { headers }) =>
      json(
        { error: 'x'.repeat(5_000), error_description: `\u001b[31m${'y'.repeat(5_000)}`, sent: headers },
        400,
      )(response)
    const { source } = await newSource([echoing])
    const error = (await failureOf(source.token(orders))) as TokenError
    expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(secret)
    expect(`${error.stack}`).not.toContain(Buffer.from(`billing:${secret}`).toString('base64'))
    expect(error.message.length).toBeLessThan(800)
    expect(error.message).not.toContain('\u001b')
  })
})

describe('a service that is away', () => {
  test('is asked again, with pauses that grow, and not for ever', async () => {
    const { server, time, source } = await newSource([json({}, 503)])
    expect(await failureOf(source.token(orders))).toMatchObject({
      code: 'unavailable',
      status: 503,
      isPassing: true,
    })
    expect(server.requests).toHaveLength(4)
    expect(time.slept).toEqual([0.1875, 0.375, 0.75])
  })

  test.each([429, 500, 502, 503, 504])('%i may pass', async (status) => {
    const away: Answer = (r) => r.writeHead(status, { 'content-type': 'text/html' }).end('<html>away</html>')
    const { server, source } = await newSource([away, tokens()])
    expect(await source.token(orders)).toBe('token-1')
    expect(server.requests).toHaveLength(2)
  })

  test.each<[name: string, value: (time: FakeTime) => string]>([
    ['seconds', () => '7'],
    ['a date', (time) => new Date((time.now + 7) * 1000).toUTCString()],
  ])('is not asked before its Retry-After (%s)', async (_name, value) => {
    const its: { time?: FakeTime } = {}
    const away: Answer = (r) => json({}, 503, { 'retry-after': value(its.time as FakeTime) })(r)
    const { time, source } = await newSource([away, tokens()])
    its.time = time
    expect(await source.token(orders)).toBe('token-1')
    // A little later, because others heard the same.
    expect(time.slept.map((seconds) => seconds.toFixed(2))).toEqual(['7.35'])
  })

  test('that wants to rest for longer than the caller waits is left alone, for every token', async () => {
    const { server, time, source } = await newSource([json({}, 429, { 'retry-after': '60' }), tokens()])
    expect(await failureOf(source.token(orders))).toMatchObject({
      code: 'unavailable',
      retryAfterSeconds: 60,
    })
    expect(await failureOf(source.token('other'))).toMatchObject({
      code: 'unavailable',
      retryAfterSeconds: 63,
    })
    expect(server.requests).toHaveLength(1)
    expect(time.slept).toEqual([])
    time.pass(63)
    expect(await source.token(orders)).toBe('token-1')
  })

  test.each(['1e9', '-5', 'soon', '99999999999', ''])(
    'a Retry-After of %j switches nobody off',
    async (value) => {
      const { time, source } = await newSource([json({}, 503, { 'retry-after': value }), tokens()])
      await failureOf(source.token(orders))
      time.pass(331)
      expect(await source.token(orders)).toMatch(/^token-/)
    },
  )

  test('that never answers is given up in time', async () => {
    const { source } = await newSource([never], { timeoutSeconds: 0.05 })
    expect(await failureOf(source.token(orders))).toMatchObject({ code: 'timeout', isPassing: true })
  })

  test('that begins an answer and does not end it is given up in time', async () => {
    const half: Answer = (r) =>
      r.writeHead(200, { 'content-type': 'application/json' }).write('{"access_token":')
    const { source } = await newSource([half], { timeoutSeconds: 0.2 })
    expect(await failureOf(source.token(orders))).toMatchObject({ code: 'timeout' })
  })

  test('that hangs up is asked again', async () => {
    const { server, source } = await newSource([(r) => r.destroy(), tokens()])
    expect(await source.token(orders)).toBe('token-1')
    expect(server.requests).toHaveLength(2)
  })

  test('that is not there', async () => {
    const { server, source } = await newSource([tokens()])
    await server.close()
    expect(await failureOf(source.token(orders))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    })
  })
})

test('a pause that lasts too long leaves no time, and is told so', async () => {
  const time = new FakeTime()
  const { sleep } = time
  // As on a machine that sleeps, or a process that is busy.
  time.sleep = (seconds, signal) => sleep.call(time, seconds + 60, signal)
  const { server, source } = await newSource([json({}, 500)], { timeoutSeconds: 2, time })
  expect(await failureOf(source.token(orders))).toMatchObject({ code: 'unavailable', status: 500 })
  expect(server.requests).toHaveLength(1)
})

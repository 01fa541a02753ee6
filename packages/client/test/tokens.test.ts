/** Tokens are kept, renewed early, asked for once, and used while they live. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Answer, type FakeTime, failureOf, gate, json, newSource, orders, tokens } from './support.ts'

describe('a token', () => {
  test('is asked for with what it is for, and kept', async () => {
    const { server, source } = await newSource()
    expect(await source.token(orders, ['b', 'a'])).toBe('token-1')
    expect(await source.token(orders, 'a b')).toBe('token-1')
    expect(await source.grant(orders, ['a', 'b', 'a'])).toMatchObject({
      accessToken: 'token-1',
      tokenType: 'Bearer',
      expiresAt: 1_800_000_100,
    })
    expect(server.requests).toHaveLength(1)
    expect(server.requests[0]).toMatchObject({ method: 'POST', path: '/token' })
    expect(Object.fromEntries(server.requests[0]?.form ?? [])).toEqual({
      grant_type: 'client_credentials',
      resource: orders,
      scope: 'a b',
    })
  })

  test('is another for each audience and each set of scopes', async () => {
    const { server, source } = await newSource()
    expect(await source.token(orders)).toBe('token-1')
    expect(await source.token(orders, 'a')).toBe('token-2')
    expect(await source.token('rabbitmq')).toBe('token-3')
    expect(await source.token()).toBe('token-4')
    expect(await source.token(orders)).toBe('token-1')
    expect(
      server.requests.map(({ form }) => [form.get('resource'), form.get('audience'), form.get('scope')]),
    ).toEqual([
      [orders, null, null],
      [orders, null, 'a'],
      [null, 'rabbitmq', null],
      [null, null, null],
    ])
  })

  test('is asked for once, however many want it at the same time', async () => {
    const { opened, open } = gate()
    const { server, source } = await newSource([
      (response) => opened.then(() => tokens()(response, {} as never)),
    ])
    const wanted = Array.from({ length: 50 }, () => source.token(orders))
    open()
    expect(new Set(await Promise.all(wanted))).toEqual(new Set(['token-1']))
    expect(server.requests).toHaveLength(1)
  })

  test.each(['a"b', 'a\\b', 'ä', 'a\nb'])('is not asked for with the scope %j', async (scope) => {
    const { source, server } = await newSource()
    await expect(failureOf(source.token(orders, [scope]))).resolves.toBeInstanceOf(TypeError)
    expect(server.requests).toEqual([])
  })
})

test('tokens for a thousand audiences are kept, and of more the ones that were used last', async () => {
  const asked: (string | null)[] = []
  const fetch = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    asked.push(new URLSearchParams(String(init?.body)).get('audience'))
    return Response.json({ access_token: 'token', token_type: 'Bearer', expires_in: 100 })
  }
  const tokenEndpoint = 'https://tokens.example.com/token'
  const { source } = await newSource([], { fetch, tokenEndpoint })
  for (let index = 0; index < 1_000; index += 1) await source.token(`a${index}`)
  await source.token('a0')
  await source.token('another')
  asked.length = 0
  await source.token('a0')
  await source.token('a2')
  await source.token('a1')
  expect(asked).toEqual(['a1'])
})

describe('renewal', () => {
  test('comes early, at a moment of chance, and nobody waits for it', async () => {
    for (const [chance, at] of [
      [0, 60],
      [0.5, 70],
      [0.99, 79.8],
    ] as const) {
      const { opened, open } = gate()
      const second: Answer = (response) =>
        opened.then(() => json({ ...answer, access_token: 'second' })(response))
      const answer = { access_token: 'first', token_type: 'Bearer', expires_in: 100 }
      const { server, time, source } = await newSource([json(answer), second])
      time.chance = chance
      await source.token(orders)
      time.pass(at - 0.1)
      expect(await source.token(orders)).toBe('first')
      expect(server.requests).toHaveLength(1)
      time.pass(0.2)
      expect(await source.token(orders)).toBe('first')
      expect(await source.token(orders)).toBe('first')
      await expect.poll(() => server.requests).toHaveLength(2)
      open()
      await expect.poll(() => source.token(orders)).toBe('second')
      expect(server.requests).toHaveLength(2)
    }
  })

  test('while the service is away the token is used until it ends, and then there is none', async () => {
    const { server, time, source, failures } = await newSource([
      tokens(),
      json({ error: 'temporarily_unavailable' }, 503),
    ])
    expect(await source.token(orders)).toBe('token-1')
    time.pass(75)
    expect(await source.token(orders)).toBe('token-1')
    await expect.poll(() => failures).toHaveLength(1)
    // Not for every call: after a failure the service has a pause.
    const asked = server.requests.length
    expect(await source.token(orders)).toBe('token-1')
    expect(server.requests).toHaveLength(asked)
    // Ten seconds before its end it is not used any more.
    time.pass(15)
    expect(await failureOf(source.token(orders))).toMatchObject({ code: 'unavailable', status: 503 })
    server.answers = [tokens()]
    expect(await source.token(orders)).toBe('token-1')
  })

  test('a renewal that is refused goes on with the token that lives, too', async () => {
    const { time, source, failures } = await newSource([tokens(), json({ error: 'invalid_client' }, 401)])
    await source.token(orders)
    time.pass(75)
    expect(await source.token(orders)).toBe('token-1')
    await expect.poll(() => failures).toHaveLength(1)
    expect(failures[0]).toMatchObject({ code: 'refused', error: 'invalid_client' })
    expect(await source.token(orders)).toBe('token-1')
  })
})

describe('clocks', () => {
  test('one that is set ahead, as after a sleep, ends the token', async () => {
    const { time, source } = await newSource()
    await source.token(orders)
    time.now += 100
    expect(await source.token(orders)).toBe('token-2')
  })

  test('one that is set back does not let the token live longer', async () => {
    const { time, source } = await newSource()
    await source.token(orders)
    time.now -= 10_000
    time.monotonic += 90
    expect(await source.token(orders)).toBe('token-2')
  })

  test('the time that the answer took counts', async () => {
    const slow = (time: () => FakeTime): Answer => {
      return (response) => {
        time().pass(20)
        tokens()(response, {} as never)
      }
    }
    const its: { time?: FakeTime } = {}
    const { server, time, source } = await newSource([slow(() => its.time as FakeTime)])
    its.time = time
    await source.token(orders)
    time.pass(49)
    await source.token(orders)
    expect(server.requests).toHaveLength(1)
    time.pass(2)
    await source.token(orders)
    await expect.poll(() => server.requests).toHaveLength(2)
  })

  test('a token that does not say how long it lives is kept for a minute', async () => {
    const { server, time, source } = await newSource([tokens({ expires_in: undefined })])
    expect(await source.token(orders)).toBe('token-1')
    time.pass(35)
    expect(await source.token(orders)).toBe('token-1')
    expect(server.requests).toHaveLength(1)
    time.pass(25)
    expect(await source.token(orders)).toBe('token-2')
  })

  test('no token is kept for longer than a day', async () => {
    const { time, source } = await newSource([tokens({ expires_in: 1e308 })])
    await source.token(orders)
    time.pass(86_400)
    expect(await source.token(orders)).toBe('token-2')
  })
})

describe('whoever waits may leave', () => {
  test('and the others get what they waited for', async () => {
    const { opened, open } = gate()
    const { server, source } = await newSource([
      (response) => opened.then(() => tokens()(response, {} as never)),
    ])
    const leaving = new AbortController()
    const [left, stayed, patient] = [
      failureOf(source.token(orders, [], { signal: leaving.signal })),
      source.token(orders, [], { signal: new AbortController().signal }),
      source.token(orders),
    ]
    await expect.poll(() => server.requests).toHaveLength(1)
    leaving.abort(new Error('enough'))
    expect(await left).toMatchObject({ message: 'enough' })
    open()
    expect(await Promise.all([stayed, patient])).toEqual(['token-1', 'token-1'])
    expect(server.requests).toHaveLength(1)
  })

  test('when all have left, the request is given up, and the next one begins anew', async () => {
    let closed = 0
    const hangs: Answer = (response) => response.once('close', () => (closed += 1))
    const { server, source } = await newSource([hangs, tokens()], { timeoutSeconds: 300 })
    const leaving = new AbortController()
    const all = [1, 2].map(() => failureOf(source.token(orders, [], { signal: leaving.signal })))
    await expect.poll(() => server.requests).toHaveLength(1)
    leaving.abort(new Error('enough'))
    expect(await Promise.all(all)).toMatchObject([{ message: 'enough' }, { message: 'enough' }])
    expect(await source.token(orders)).toBe('token-1')
    await expect.poll(() => closed).toBe(1)
  })

  test('whoever comes with a signal that is aborted asks for nothing', async () => {
    const { server, source } = await newSource()
    expect(await failureOf(source.token(orders, [], { signal: AbortSignal.abort() }))).toMatchObject({
      name: 'AbortError',
    })
    expect(server.requests).toEqual([])
  })
})

test('a hook that fails, at once or later, harms nobody', async () => {
  const warnings: string[] = []
  const listen = (warning: Error) => warnings.push(warning.message)
  process.on('warning', listen)
  onTestFinished(() => void process.off('warning', listen))
  const hooks = [
    () => {
      throw new Error('now')
    },
    () => Promise.reject(new Error('later')),
  ]
  for (const onRenewalFailed of hooks) {
    const refused = json({ error: 'invalid_client' }, 401)
    const { source, time } = await newSource([tokens(), refused], { onRenewalFailed })
    await source.token(orders)
    time.pass(85)
    expect(await source.token(orders)).toBe('token-1')
  }
  await expect.poll(() => warnings).toEqual(['now', 'later'])
})

/** Requests carry a token, a proof and a signature, and go to nobody else. */
import { createHash, createHmac, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createTokenSource, type TokenSourceOptions } from '../src/index.ts'
import { type Answer, FakeTime, failureOf, gate, json, newKey, startServer, tokens } from './support.ts'

const fine: Answer = json({ fine: true })

async function newServers(answers: readonly Answer[] = [fine], options: Partial<TokenSourceOptions> = {}) {
  const token = options.dpop === undefined ? tokens() : tokens({ token_type: 'DPoP' })
  const [issuer, service, time] = [await startServer(token), await startServer(...answers), new FakeTime()]
  const source = createTokenSource({
    issuer: issuer.url,
    clientId: 'billing',
    clientSecret: 'secret',
    time,
    ...options,
  })
  return { issuer, service, time, source }
}

const decoded = (jwt: unknown) => {
  const [header = '', claims = '', signature = ''] = String(jwt).split('.')
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  return { header: read(header), claims: read(claims), signed: `${header}.${claims}`, signature }
}

describe('a token', () => {
  test('is attached, beside what the caller wrote', async () => {
    const { issuer, service, source } = await newServers()
    const fetchOrders = source.fetchFor(service.url, ['a'])
    const response = await fetchOrders(`${service.url}/orders?page=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Basic mine' },
      body: '{"amount":7}',
    })
    expect(await response.json()).toEqual({ fine: true })
    expect(service.requests).toMatchObject([
      {
        method: 'POST',
        path: '/orders?page=1',
        body: '{"amount":7}',
        headers: { authorization: 'Bearer token-1', 'content-type': 'application/json' },
      },
    ])
    await fetchOrders(new Request(`${service.url}/orders`))
    await fetchOrders(new URL(service.url))
    expect(service.requests.map(({ headers }) => headers.authorization)).toEqual(
      Array(3).fill('Bearer token-1'),
    )
    expect(issuer.requests[0]?.form.get('resource')).toBe(service.url)
  })

  test('is sent to the origin of its audience and nowhere else', async () => {
    const { issuer, service, source } = await newServers()
    const fetchOrders = source.fetchFor(service.url)
    for (const url of [issuer.url, 'https://attacker.example', service.url.replace('127.0.0.1', 'localhost')])
      expect(await failureOf(fetchOrders(url))).toMatchObject({
        message: expect.stringContaining('is not sent to'),
      })
    expect(issuer.requests).toEqual([])
    const fetchElsewhere = source.fetchFor('orders', [], { origins: [service.url] })
    expect((await fetchElsewhere(service.url)).status).toBe(200)
  })

  test.each([
    ['orders', undefined, 'origins'],
    ['urn:orders', undefined, 'origins'],
    ['http://orders.example.com', undefined, 'has no https'],
    ['orders', ['https://orders.example.com/path'], 'is not like'],
    ['orders', [], 'origins'],
  ])(
    'of %s cannot be attached where it is not clear whom it is for (%j)',
    async (audience, origins, says) => {
      const { source } = await newServers()
      expect(() => source.fetchFor(audience, [], { origins })).toThrow(says)
    },
  )

  test('does not follow a redirect: it comes back', async () => {
    const { service, source } = await newServers([(r) => r.writeHead(307, { location: '/elsewhere' }).end()])
    const response = await source.fetchFor(service.url)(service.url)
    expect(response.status).toBe(307)
    expect(service.requests).toHaveLength(1)
  })

  const refuses: Answer = (r) =>
    r.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end()

  test('that is refused in the middle of its life is replaced, once', async () => {
    const { issuer, service, time, source } = await newServers([fine, refuses, fine])
    const fetchOrders = source.fetchFor(service.url)
    await fetchOrders(service.url)
    time.pass(30)
    const response = await fetchOrders(service.url, { method: 'PUT', body: 'text' })
    expect(response.status).toBe(200)
    expect(service.requests.map(({ headers, body }) => [headers.authorization, body])).toEqual([
      ['Bearer token-1', ''],
      ['Bearer token-1', 'text'],
      ['Bearer token-2', 'text'],
    ])
    service.answers = [refuses]
    time.pass(30)
    expect((await fetchOrders(service.url)).status).toBe(401)
    expect(issuer.requests).toHaveLength(3)
    expect(service.requests).toHaveLength(5)
  })

  test('that is refused when it is new is not replaced: a service that refuses all makes no flood', async () => {
    const { issuer, service, source } = await newServers([refuses])
    const fetchOrders = source.fetchFor(service.url)
    for (let count = 0; count < 5; count += 1) expect((await fetchOrders(service.url)).status).toBe(401)
    expect(issuer.requests).toHaveLength(1)
    expect(service.requests).toHaveLength(5)
  })

  test('a stream is sent once', async () => {
    const { service, time, source } = await newServers([fine, refuses])
    const fetchOrders = source.fetchFor(service.url)
    await fetchOrders(service.url)
    time.pass(30)
    const body = new Blob(['streamed']).stream()
    const response = await fetchOrders(service.url, { method: 'POST', body, duplex: 'half' } as RequestInit)
    expect(response.status).toBe(401)
    expect(service.requests[1]?.body).toBe('streamed')
  })

  test('the wait can be ended by the signal of the request', async () => {
    const { issuer, service, source } = await newServers()
    issuer.answers = [() => undefined]
    const leaving = new AbortController()
    const response = failureOf(source.fetchFor(service.url)(service.url, { signal: leaving.signal }))
    leaving.abort(new Error('enough'))
    expect(await response).toMatchObject({ message: 'enough' })
    expect(service.requests).toEqual([])
  })
})

describe('DPoP (RFC 9449)', () => {
  test('each request has a proof of its own, by the key that the token was asked for with', async () => {
    const { issuer, service, source } = await newServers([fine], { dpop: true })
    const fetchOrders = source.fetchFor(service.url)
    await fetchOrders(`${service.url}/orders?page=1#here`, { method: 'POST', body: 'text' })
    await fetchOrders(service.url)
    const asked = decoded(issuer.requests[0]?.headers['dpop'])
    expect(asked.claims).toMatchObject({ htm: 'POST', htu: `${issuer.url}/token`, iat: 1_800_000_000 })
    expect(asked.claims).not.toHaveProperty('ath')
    const [first, second] = service.requests.map(({ headers }) => decoded(headers['dpop']))
    expect(service.requests[0]?.headers.authorization).toBe('DPoP token-1')
    expect(first?.header).toMatchObject({ typ: 'dpop+jwt', alg: 'ES256', jwk: asked.header.jwk })
    expect(Object.keys(first?.header.jwk).sort()).toEqual(['crv', 'kty', 'x', 'y'])
    expect(first?.claims).toMatchObject({
      htm: 'POST',
      htu: `${service.url}/orders`,
      ath: createHash('sha256').update('token-1').digest('base64url'),
    })
    expect(first?.claims.jti).not.toBe(second?.claims.jti)
    const key = { key: first?.header.jwk, format: 'jwk', dsaEncoding: 'ieee-p1363' } as const
    expect(
      verify(
        'sha256',
        Buffer.from(first?.signed ?? ''),
        key,
        Buffer.from(first?.signature ?? '', 'base64url'),
      ),
    ).toBe(true)
  })

  const wantsNonce =
    (status: number): Answer =>
    (r) =>
      json({ error: 'use_dpop_nonce' }, status, {
        'dpop-nonce': 'nonce-1',
        'www-authenticate': 'DPoP error="use_dpop_nonce", error_description="a nonce is needed"',
      })(r)

  test('the nonces of a server are used from then on, those of the token service and those of others apart', async () => {
    const next: Answer = json({}, 200, { 'dpop-nonce': 'nonce-2' })
    const { issuer, service, source } = await newServers([wantsNonce(401), next, fine], { dpop: true })
    issuer.answers = [wantsNonce(400), tokens({ token_type: 'DPoP' })]
    const fetchOrders = source.fetchFor(service.url)
    expect((await fetchOrders(service.url, { method: 'POST', body: 'text' })).status).toBe(200)
    await fetchOrders(service.url)
    const noncesOf = ({ requests }: typeof service) =>
      requests.map(({ headers }) => decoded(headers['dpop']).claims.nonce)
    expect(noncesOf(issuer)).toEqual([undefined, 'nonce-1'])
    expect(noncesOf(service)).toEqual([undefined, 'nonce-1', 'nonce-2'])
    expect(service.requests[1]?.body).toBe('text')
  })

  test('a nonce that came for another request meanwhile is a new one for this request', async () => {
    const { opened, open } = gate()
    const twoWaiting: Answer = (response, request) => {
      if (service.requests.length === 2) open()
      return opened.then(() => wantsNonce(401)(response, request))
    }
    const { issuer, service, source } = await newServers([twoWaiting, twoWaiting, fine], { dpop: true })
    const fetchOrders = source.fetchFor(service.url)
    const answers = await Promise.all([fetchOrders(service.url), fetchOrders(service.url)])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])

    const again = gate()
    issuer.requests.length = 0
    const both: Answer = (response, request) => {
      if (issuer.requests.length === 2) again.open()
      return again.opened.then(() => wantsNonce(400)(response, request))
    }
    issuer.answers = [both, both, tokens({ token_type: 'DPoP' })]
    const got = await Promise.all([source.token('a').catch(String), source.token('b').catch(String)])
    expect(got.toSorted()).toEqual(['token-1', 'token-2'])
  })

  test('a server that is never content is asked twice', async () => {
    const { issuer, service, source } = await newServers([wantsNonce(401)], { dpop: true })
    expect((await source.fetchFor(service.url)(service.url)).status).toBe(401)
    expect(service.requests).toHaveLength(2)
    issuer.answers = [wantsNonce(400)]
    issuer.requests.length = 0
    expect(await failureOf(source.token('other'))).toMatchObject({ code: 'refused', error: 'use_dpop_nonce' })
    expect(issuer.requests).toHaveLength(2)
  })

  test('a token that is not bound is refused', async () => {
    const { issuer, source } = await newServers([fine], { dpop: true })
    issuer.answers = [tokens()]
    expect(await failureOf(source.token())).toMatchObject({ code: 'response_invalid' })
  })
})

describe('signatures (RFC 9421)', () => {
  const body = '{"amount":7}'
  const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`

  test('by the key of the token cover method, target, token and body', async () => {
    const { privateKey, publicKey } = newKey()
    const { service, source } = await newServers([fine], { dpop: { privateKey } })
    await source.fetchFor(service.url, [], { sign: true })(`${service.url}/orders?page=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const { headers } = service.requests[0] ?? { headers: {} as Record<string, string> }
    expect(headers['content-digest']).toBe(digest)
    const [, input = ''] = /^sig1=(.*)$/.exec(String(headers['signature-input'])) ?? []
    expect(input).toMatch(
      /^\("@method" "@target-uri" "authorization" "content-type" "content-digest"\);created=1800000000;nonce="[\w-]{36}";keyid="[\w-]{43}";tag="mintmark"$/,
    )
    const base = [
      '"@method": POST',
      `"@target-uri": ${service.url}/orders?page=1`,
      '"authorization": DPoP token-1',
      '"content-type": application/json',
      `"content-digest": ${digest}`,
      `"@signature-params": ${input}`,
    ].join('\n')
    const [, signature = ''] = /^sig1=:(.*):$/.exec(String(headers['signature'])) ?? []
    const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
    expect(verify('sha256', Buffer.from(base), key, Buffer.from(signature, 'base64'))).toBe(true)
  })

  test('under a shared secret, of a request without a body', async () => {
    const { service, source } = await newServers()
    const secret = 'a secret that both sides know, of 32 bytes or more'
    await source.fetchFor(service.url, [], { sign: { secret, keyId: 'private "net"' } })(service.url, {
      headers: { 'content-digest': 'mine' },
    })
    const { headers } = service.requests[0] ?? { headers: {} as Record<string, string> }
    const [, input = ''] = /^sig1=(.*)$/.exec(String(headers['signature-input'])) ?? []
    expect(input).toContain('("@method" "@target-uri" "authorization");')
    expect(input).toContain(';keyid="private \\"net\\"";')
    expect(headers['content-digest']).toBeUndefined()
    const base = [
      '"@method": GET',
      `"@target-uri": ${service.url}/`,
      '"authorization": Bearer token-1',
      `"@signature-params": ${input}`,
    ].join('\n')
    const signature = createHmac('sha256', secret).update(base).digest('base64')
    expect(headers['signature']).toBe(`sig1=:${signature}:`)
  })

  test('a stream is read, to be signed', async () => {
    const { service, source } = await newServers([fine], { dpop: true })
    const stream = new Blob([body]).stream()
    const init = { method: 'POST', body: stream, duplex: 'half' } as RequestInit
    await source.fetchFor(service.url, [], { sign: true })(service.url, init)
    expect(service.requests).toMatchObject([{ body, headers: { 'content-digest': digest } }])
  })

  test('need a key, or a secret of some length', async () => {
    const { service, source } = await newServers()
    expect(() => source.fetchFor(service.url, [], { sign: true })).toThrow('needs a key')
    const short = { secret: 'short', keyId: 'a' }
    expect(() => source.fetchFor(service.url, [], { sign: short })).toThrow('32 bytes')
  })
})

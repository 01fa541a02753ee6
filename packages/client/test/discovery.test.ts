/** From a bare 401 to a token (RFC 9728): with the challenges of our verifier, and with those of a stranger. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createVerifier, requireToken } from '../../verifier/src/index.ts'
import { challengesOf } from '../src/challenge.ts'
import { createTokenSource, type DiscoveringOptions } from '../src/index.ts'
import { readPrivateKey, signJwt } from '../src/key.ts'
import {
  FakeTime,
  failureOf,
  json,
  newKey,
  type SeenRequest,
  startServer,
  type TestServer,
} from './support.ts'

const { privateKey, publicKey } = newKey()
const key = readPrivateKey(privateKey)

/** A service that our verifier guards. `GET` needs orders:read, everything else orders:write as well. */
async function startGuarded(issuer: string, audience?: string) {
  const guards: Record<string, ReturnType<typeof requireToken>> = {}
  let document: unknown
  const seen: string[] = []
  const server = createServer(async (request, response) => {
    seen.push(
      `${request.method} ${request.url} ${request.headers.authorization === undefined ? 'bare' : 'token'}`,
    )
    if (request.url?.startsWith('/.well-known/')) return json(document)(response)
    const claims = await guards[request.method ?? '']?.(request, response)
    if (claims !== undefined) json({ scope: claims.scope })(response)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] }
  const options = { scopesSupported: ['orders:read', 'orders:write'], origin: url, keys }
  const verifier = createVerifier({ issuer, audience: audience ?? url, ...options })
  document = verifier.resourceMetadata?.document
  guards['GET'] = requireToken(verifier, { scope: 'orders:read' })
  guards['POST'] = requireToken(verifier, { scope: 'orders:write' })
  return { url, seen, verifier }
}

/** A token service that gives what is asked for, in tokens that are signed. */
async function startIssuer(): Promise<TestServer> {
  const issuer = await startServer((response, { form }: SeenRequest) => {
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: issuer.url,
      aud: form.get('resource') ?? form.get('audience'),
      scope: form.get('scope'),
    }
    const who = {
      sub: 'billing',
      client_id: 'billing',
      jti: `${issuer.requests.length}`,
      iat: now,
      exp: now + 100,
    }
    const accessToken = signJwt(key, { typ: 'at+jwt', kid: 'k' }, { ...claims, ...who })
    json({ access_token: accessToken, token_type: 'Bearer', expires_in: 100 })(response)
  })
  return issuer
}

const sourceOf = (issuer: TestServer, time = new FakeTime()) =>
  createTokenSource({ issuer: issuer.url, clientId: 'billing', clientSecret: 'secret', time })
const askedOf = ({ requests }: TestServer) =>
  requests.map(({ form }) => [form.get('resource'), form.get('scope')])

describe('a service with our verifier', () => {
  test('says which token it wants, and gets it', async () => {
    const issuer = await startIssuer()
    const { url, seen } = await startGuarded(issuer.url)
    const fetchOrders = sourceOf(issuer).fetchDiscovering({ origins: [url] })
    expect(await (await fetchOrders(`${url}/orders?page=1`)).json()).toEqual({ scope: 'orders:read' })
    expect(seen).toEqual([
      'GET /orders?page=1 bare',
      'GET /.well-known/oauth-protected-resource bare',
      'GET /orders?page=1 token',
    ])
    // It is known from now on.
    expect((await fetchOrders(`${url}/orders`)).status).toBe(200)
    expect(seen.slice(3)).toEqual(['GET /orders token'])
    expect(askedOf(issuer)).toEqual([[url, 'orders:read']])
  })

  test('that wants one more scope gets a token with both', async () => {
    const issuer = await startIssuer()
    const { url } = await startGuarded(issuer.url)
    const fetchOrders = sourceOf(issuer).fetchDiscovering({ origins: [url] })
    await fetchOrders(url)
    const response = await fetchOrders(url, { method: 'POST', body: '{}' })
    expect(await response.json()).toEqual({ scope: 'orders:read orders:write' })
    expect(askedOf(issuer)).toEqual([
      [url, 'orders:read'],
      [url, 'orders:read orders:write'],
    ])
  })

  test('is asked again after an hour', async () => {
    const [issuer, time] = [await startIssuer(), new FakeTime()]
    const { url, seen } = await startGuarded(issuer.url)
    const fetchOrders = sourceOf(issuer, time).fetchDiscovering({ origins: [url] })
    await fetchOrders(url)
    time.pass(3_600)
    await fetchOrders(url)
    expect(seen.filter((line) => line.endsWith('bare'))).toHaveLength(4)
  })

  test('may have an audience at another origin only if the caller says so', async () => {
    const issuer = await startIssuer()
    const audience = 'https://orders.example.com'
    const { url } = await startGuarded(issuer.url, audience)
    const source = sourceOf(issuer)
    expect(await failureOf(source.fetchDiscovering({ origins: [url] })(url))).toMatchObject({
      code: 'metadata_invalid',
      message: expect.stringContaining(`is for ${audience}, and not for ${url}`),
    })
    expect(issuer.requests).toEqual([])
    const trusting = source.fetchDiscovering({ origins: [url], audiences: [audience] })
    expect((await trusting(url)).status).toBe(200)
    expect(askedOf(issuer)).toEqual([[audience, 'orders:read']])
  })

  test('of another issuer gets nothing, and neither does that issuer', async () => {
    const [issuer, stranger] = [await startIssuer(), await startIssuer()]
    const { url, seen } = await startGuarded(stranger.url)
    const failure = await failureOf(sourceOf(issuer).fetchDiscovering({ origins: [url] })(url))
    expect(failure).toMatchObject({ message: expect.stringContaining('does not name') })
    expect([...issuer.requests, ...stranger.requests]).toEqual([])
    expect(seen.filter((line) => line.endsWith('token'))).toEqual([])
  })
})

describe('a service that is not what it should be', () => {
  async function refused(challenge: (url: string) => string, more: object = {}, status = 200) {
    const [issuer, service] = [await startIssuer(), await startServer()]
    service.answers = [(r) => r.writeHead(401, { 'www-authenticate': challenge(service.url) }).end()]
    const filled = JSON.parse(
      JSON.stringify({ authorization_servers: ['ISSUER'], resource: 'URL', ...more })
        .replaceAll('ISSUER', issuer.url)
        .replaceAll('URL', service.url),
    )
    service.metadata = json(filled, status)
    const options: DiscoveringOptions = { origins: [service.url] }
    const outcome = await sourceOf(issuer)
      .fetchDiscovering(options)(`${service.url}/orders`)
      .catch((error: unknown) => error)
    return { issuer, service, outcome }
  }
  const usual = (url: string): string =>
    `Bearer resource_metadata="${url}/.well-known/oauth-protected-resource"`

  test.each([
    ['names a document at another origin', () => usual('http://localhost:1'), {}, 'at another origin'],
    ['names a document that is no URL', () => 'Bearer resource_metadata="x"', {}, 'at another origin'],
    ['is for another path', usual, { resource: 'URL/other' }, 'and not for'],
    ['is for a path that only begins alike', usual, { resource: 'URL/ord' }, 'and not for'],
    ['has a query', usual, { resource: 'URL/orders?a' }, 'and not for'],
    ['names no resource', usual, { resource: 7 }, 'names no resource'],
    ['names no issuer', usual, { authorization_servers: 'ISSUER' }, 'does not name'],
    ['names an issuer that begins alike', usual, { authorization_servers: ['ISSUER/'] }, 'does not name'],
  ] as const)('%s: no token is asked for', async (_, challenge, more, says) => {
    const { issuer, service, outcome } = await refused(challenge, more)
    expect(outcome).toMatchObject({ code: 'metadata_invalid', message: expect.stringContaining(says) })
    expect(issuer.requests).toEqual([])
    expect(service.requests).toHaveLength(1)
  })

  test('has no document', async () => {
    const { issuer, outcome } = await refused(usual, {}, 404)
    expect(outcome).toMatchObject({ code: 'metadata_invalid', status: 404 })
    expect(issuer.requests).toEqual([])
  })

  test('says nothing of where tokens are, or refuses them all: its answer comes back, and no flood', async () => {
    const bare = await refused(() => 'Bearer realm="orders"')
    expect(bare.outcome).toMatchObject({ status: 401 })
    expect(bare.service.requests).toHaveLength(1)
    const all = await refused(usual)
    expect(all.outcome).toMatchObject({ status: 401 })
    expect(all.service.requests).toHaveLength(2)
    expect(askedOf(all.issuer)).toEqual([[all.service.url, null]])
  })

  test('requests go to the origins that the caller named', async () => {
    const issuer = await startIssuer()
    const fetchOrders = sourceOf(issuer).fetchDiscovering({ origins: ['https://orders.example.com'] })
    expect(await failureOf(fetchOrders(issuer.url))).toMatchObject({
      message: expect.stringContaining('not sent to'),
    })
    expect(() => sourceOf(issuer).fetchDiscovering({ origins: ['http://orders.example.com'] })).toThrow(
      'no https',
    )
  })
})

test.each([
  ['Bearer', [['bearer', {}]]],
  [
    'Bearer error="invalid_token", error_description="say \\"please\\", scope=x", scope=a',
    [['bearer', { error: 'invalid_token', error_description: 'say "please", scope=x', scope: 'a' }]],
  ],
  [
    'Basic realm="a, Bearer b", Negotiate abc==, DPoP ALGS="ES256" , error = use_dpop_nonce',
    [
      ['basic', { realm: 'a, Bearer b' }],
      ['negotiate', {}],
      ['dpop', { algs: 'ES256', error: 'use_dpop_nonce' }],
    ],
  ],
  ['Bearer scope="a", scope="b", "', [['bearer', { scope: 'a' }]]],
  ['scope="a"', []],
  [`Bearer scope="${'a'.repeat(9_000)}"`, []],
])('the challenges in %s', (header, expected) => {
  const response = new Response(null, { status: 401, headers: { 'www-authenticate': header } })
  const found = challengesOf(response).map(({ scheme, parameters }) => [
    scheme,
    Object.fromEntries(parameters),
  ])
  expect(found).toEqual(expected)
})

/** From a bare 401 to a token (RFC 9728), with our client and our verifier: what the one says, the other understands. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createTokenSource } from '../../packages/client/src/index.ts'
import { readPrivateKey, signJwt } from '../../packages/client/src/key.ts'
import {
  FakeTime,
  failureOf,
  json,
  newKey,
  type SeenRequest,
  startServer,
  type TestServer,
} from '../../packages/client/test/support.ts'
import { createVerifier, requireToken } from '../../packages/verifier/src/index.ts'

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

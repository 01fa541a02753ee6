/** The guard, in the three kinds of servers that it is for, over real connections. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import fastify from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import {
  createVerifier,
  type RequireTokenOptions,
  requireToken,
  tokenOf,
  type Verifier,
  type VerifierOptions,
  type VerifyEvent,
} from '../src/index.ts'
import { audience, issuer, makeKey, makeToken, start } from './fixtures.ts'
import { proofs } from './vectors.ts'

const key = makeKey('first')
const open = (options: Partial<VerifierOptions> = {}): Verifier =>
  createVerifier({ issuer, audience, keys: { keys: [key.jwk] }, nowSeconds: () => start, ...options })

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

type Serve = (verifier: Verifier, options: RequireTokenOptions) => Promise<string>

/** A service that says who called it. */
const servers: Record<string, Serve> = {
  async fastify(verifier, options) {
    const app = fastify()
    app.route({
      method: ['GET', 'POST'],
      url: '/orders',
      preHandler: requireToken(verifier, options),
      handler: (request) => ({ caller: tokenOf(request).client_id }),
    })
    closers.push(() => app.close())
    return await app.listen({ port: 0, host: '127.0.0.1' })
  },
  async 'fastify, before the body is read'(verifier, options) {
    const app = fastify()
    app.addHook('onRequest', requireToken(verifier, options))
    app.all('/orders', (request) => ({ caller: tokenOf(request).client_id }))
    closers.push(() => app.close())
    return await app.listen({ port: 0, host: '127.0.0.1' })
  },
  express(verifier, options) {
    const guard = requireToken(verifier, options)
    // As Express calls a middleware, under a router that took the front of the URL.
    return listen(
      createHttpServer((request: IncomingMessage & { originalUrl?: string }, response) => {
        request.originalUrl = request.url ?? '/'
        request.url = '/'
        void guard(request, response, (error) => {
          response.statusCode = error === undefined ? 200 : 500
          response.end(error === undefined ? JSON.stringify({ caller: tokenOf(request).client_id }) : '')
        })
      }),
    )
  },
  'node:http'(verifier, options) {
    const guard = requireToken(verifier, options)
    async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
      const claims = await guard(request, response)
      if (claims !== undefined) response.end(JSON.stringify({ caller: claims.client_id }))
    }
    return listen(createHttpServer((request, response) => void handle(request, response)))
  },
}

describe.each(Object.entries(servers))('%s', (_, serve) => {
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

  test('lets in a request with a good token', async () => {
    const origin = await serve(open(), { scope: 'orders:read' })
    const response = await fetch(`${origin}/orders?page=1`, bearer(makeToken(key)))
    expect([response.status, await response.json()]).toEqual([200, { caller: 'billing' }])
  })

  test('answers a request without a token: which scope it needs, and where to find out more', async () => {
    const origin = await serve(open({ scopesSupported: ['orders:read'] }), { scope: 'orders:read' })
    const response = await fetch(`${origin}/orders`)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe(
      'Bearer scope="orders:read", resource_metadata="https://orders.example/.well-known/oauth-protected-resource"',
    )
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({
      error: 'token_missing',
      error_description: 'The request has no access token.',
    })
  })

  test('answers a token that is not right, and one that lacks a scope', async () => {
    const origin = await serve(open(), { scope: 'orders:write' })
    const expired = await fetch(
      `${origin}/orders`,
      bearer(makeToken(key, { iat: start - 900, exp: start - 600 })),
    )
    expect([expired.status, expired.headers.get('www-authenticate')]).toEqual([
      401,
      'Bearer error="invalid_token", error_description="The token has expired.", scope="orders:write"',
    ])
    const lacking = await fetch(`${origin}/orders`, bearer(makeToken(key)))
    expect([lacking.status, lacking.headers.get('www-authenticate')]).toEqual([
      403,
      'Bearer error="insufficient_scope", error_description="The token lacks a scope that is required.", scope="orders:write"',
    ])
  })

  test('answers a token that is shown twice, or in the URL', async () => {
    const origin = await serve(open(), {})
    const twice = await send(origin, [
      'GET /orders HTTP/1.1',
      'host: x',
      'connection: close',
      `authorization: Bearer ${makeToken(key)}`,
      'authorization: Bearer another',
    ])
    expect(twice).toMatch(/^HTTP\/1\.1 400 /)
    const token = makeToken(key)
    expect((await fetch(`${origin}/orders?access_token=${token}`)).status).toBe(400)
    expect((await fetch(`${origin}/orders?access_token=${token}`, bearer(token))).status).toBe(400)
    expect((await fetch(`${origin}/orders?page=1?&access_token=${token}`, bearer(token))).status).toBe(400)
  })

  test('answers with 503 and Retry-After while there are no keys', async () => {
    const away = open({
      keys: undefined,
      fetch: () => Promise.reject(new Error('away')),
      onKeysFault: () => undefined,
    })
    const origin = await serve(away, {})
    const response = await fetch(`${origin}/orders`, bearer(makeToken(key)))
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '10'])
    expect(response.headers.has('www-authenticate')).toBe(false)
  })

  test('checks a proof against the origin of its settings, whatever the Host header says', async () => {
    const { keys, cases } = proofs()
    const good = cases.find(({ name }) => name === 'accepted: ES256')
    if (good === undefined) throw new Error('no case')
    const origin = await serve(open({ keys, nowSeconds: () => good.now }), {})
    const headers = { authorization: `DPoP ${good.token}`, dpop: good.proofs[0] ?? '' }
    const bare = await fetch(`${origin}/orders`, {
      method: 'POST',
      headers: { authorization: `Bearer ${good.token}` },
    })
    expect([bare.status, bare.headers.get('www-authenticate')]).toEqual([
      401,
      'DPoP error="invalid_token", error_description="The token is bound to a key and needs a DPoP proof.", algs="ES256 EdDSA PS256"',
    ])
    expect((await fetch(`${origin}/orders`, { method: 'POST', headers })).status).toBe(200)
    const again = await fetch(`${origin}/orders`, { method: 'POST', headers })
    expect([again.status, again.headers.get('www-authenticate')]).toEqual([
      401,
      'DPoP error="invalid_dpop_proof", error_description="The proof was used before.", algs="ES256 EdDSA PS256"',
    ])
  })

  test.each(['GET http://orders.example:8443/orders', 'OPTIONS *'])(
    'answers %s, which no proof can be for',
    async (line) => {
      const origin = await serve(open({ origin: 'https://orders.example:8443' }), {})
      const headers = ['host: x', 'connection: close', 'authorization: DPoP x', 'dpop: x']
      expect(await send(origin, [`${line} HTTP/1.1`, ...headers])).toMatch(/^HTTP\/1\.1 4/)
    },
  )

  test('without an origin, DPoP is a scheme that is not understood', async () => {
    const origin = await serve(open({ audience: 'urn:orders' }), {})
    const headers = { authorization: `DPoP ${makeToken(key, { aud: 'urn:orders' })}`, dpop: 'x' }
    const response = await fetch(`${origin}/orders`, { headers })
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  })

  test('tells of every request', async () => {
    const events: VerifyEvent[] = []
    const push = (event: VerifyEvent): unknown => events.push(event)
    const origin = await serve(open({ onVerified: push, onRefused: push }), { scope: 'orders:read' })
    const stranger = makeKey('first')
    await fetch(`${origin}/orders?secret=1`, bearer(makeToken(key)))
    await fetch(`${origin}/orders`, bearer(makeToken(key, { scope: 'other' })))
    await fetch(`${origin}/orders`, bearer(makeToken(stranger)))
    await fetch(`${origin}/orders`)
    const known = { iss: issuer, sub: 'billing', jti: 'test-token', path: '/orders' }
    const unknown = { iss: undefined, sub: undefined, jti: undefined, path: '/orders' }
    expect(events).toEqual([
      { outcome: 'verified', ...known },
      { outcome: 'scope_insufficient', ...known },
      { outcome: 'signature_wrong', ...unknown },
      { outcome: 'token_missing', ...unknown },
    ])
  })
})

/** As it stands: `fetch` joins headers that come twice. */
function send(origin: string, lines: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1')
    let answer = ''
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text
    })
    socket.on('end', () => resolve(answer)).on('error', reject)
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  })
}

test('a route that nothing guards does not learn who called', async () => {
  const app = fastify()
  app.get('/', (request) => tokenOf(request))
  expect((await app.inject('/')).statusCode).toBe(500)
})

test('the guard works with requests that Fastify injects', async () => {
  const app = fastify()
  app.get('/', { preHandler: requireToken(open()) }, (request) => tokenOf(request).sub)
  expect((await app.inject('/')).statusCode).toBe(401)
  const headers = { authorization: `Bearer ${makeToken(key)}` }
  expect((await app.inject({ url: '/', headers })).body).toBe('billing')
})

describe('a request that was answered while its token was verified', () => {
  test('is let go by the guard of node:http', async () => {
    const guard = requireToken(open())
    const returned: unknown[] = []
    const origin = await listen(
      createHttpServer((request, response) => {
        const guarded = guard(request, response)
        response.writeHead(503).end('late')
        void guarded.then(
          (claims) => returned.push(claims),
          (error) => returned.push(error),
        )
      }),
    )
    expect((await fetch(origin)).status).toBe(503)
    await expect.poll(() => returned).toEqual([undefined])
  })

  test('is let go by the guard of Fastify', async () => {
    const app = fastify()
    const guard = requireToken(open())
    const codes: unknown[] = []
    app.get('/', {
      async preHandler(request, reply) {
        reply.code(503).send('late')
        await guard(request, reply).catch((error: unknown) => codes.push(error))
        return reply
      },
      handler: () => 'open',
    })
    expect((await app.inject('/')).statusCode).toBe(503)
    expect(codes).toEqual([])
  })
})

test('what a proxy takes off the front of the path stands before it again', async () => {
  const seen: unknown[] = []
  const verifier = open()
  const spy: Verifier = {
    ...verifier,
    verify: (token, context) => {
      seen.push(String(context?.dpop?.url), context?.path)
      return verifier.verify(token, { ...context, dpop: undefined })
    },
  }
  const guard = requireToken(spy, { pathPrefix: '/api/v1' })
  const origin = await listen(
    createHttpServer(async (request, response) => {
      if ((await guard(request, response)) !== undefined) response.end()
    }),
  )
  const headers = { authorization: `DPoP ${makeToken(key)}`, dpop: 'x' }
  expect((await fetch(`${origin}/orders?page=1`, { headers })).status).toBe(200)
  expect(seen).toEqual(['https://orders.example/api/v1/orders', '/orders'])
})

test.each(['api', '/api/', '/api?a', '/', '', '/a b'])('%j is no front of a path', (pathPrefix) => {
  expect(() => requireToken(open(), { pathPrefix })).toThrow(TypeError)
})

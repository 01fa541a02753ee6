/** All routes but the token endpoint, and how they refuse. Long because each route has its own cases. */
import { importJWK } from 'jose'
import { describe, expect } from 'vitest'
import { test as ownTest, sharedTest } from '../support/fixtures.ts'
import {
  basic,
  exchange,
  registerClient,
  requestTokenPatiently,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'
import { until } from '../support/wait.ts'

/** What anybody may read: the keys, the metadata, the health. */

const test = sharedTest.extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const running = await startService({ database })
  onCleanup(() => running.close())
  return running
})

const get = (running: TestService, path: string, init: RequestInit = {}) =>
  fetch(`${running.url}${path}`, init)

describe('the JWK Set', () => {
  test('holds public keys only, each usable and named (RFC 7517 §4)', async ({ running }) => {
    const response = await get(running, '/.well-known/jwks.json')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
    const text = await response.text()
    const { keys } = JSON.parse(text) as { keys: Record<string, string>[] }
    expect(keys).toHaveLength(1)
    for (const key of keys) {
      expect(key).toMatchObject({
        kty: 'EC',
        crv: 'P-256',
        alg: 'ES256',
        use: 'sig',
        kid: expect.any(String),
      })
      for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth'])
        expect(key).not.toHaveProperty(member)
      expect(await importJWK(key, 'ES256')).toMatchObject({ type: 'public' })
    }
    expect(new Set(keys.map((key) => key['kid'])).size).toBe(keys.length)
  })

  test('may be cached, and is not sent again to who has it (RFC 9110 §13.1.2)', async ({ running }) => {
    const first = await get(running, '/.well-known/jwks.json')
    const etag = first.headers.get('etag') as string
    expect(etag).toMatch(/^"[\w-]+"$/)
    expect(first.headers.get('cache-control')).toMatch(/^public, max-age=\d+/)
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await get(running, '/.well-known/jwks.json', { headers: { 'if-none-match': tag } })
      expect(again.status, tag).toBe(304)
      expect(again.headers.get('etag')).toBe(etag)
      expect(await again.text()).toBe('')
    }
    const changed = await get(running, '/.well-known/jwks.json', { headers: { 'if-none-match': '"other"' } })
    expect(changed.status).toBe(200)
  })

  test('answers HEAD without a body, and whatever is accepted or ranged with the whole JSON', async ({
    running,
  }) => {
    const head = await get(running, '/.well-known/jwks.json', { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(await head.text()).toBe('')
    const strange = await get(running, '/.well-known/jwks.json', {
      headers: { accept: 'text/html', range: 'bytes=0-10' },
    })
    expect(strange.status).toBe(200)
    expect(await strange.json()).toHaveProperty('keys')
  })

  test.for([
    '/.well-known/jwks.json/',
    '/.well-known/../token/jwks.json',
    '/.well-known/%2e%2e/x',
    '/.WELL-KNOWN/jwks.json',
    `/${'x'.repeat(4_000)}`,
  ])('is found at its path and no other: %s', async (path, { running }) => {
    const response = await get(running, path)
    expect(response.status).toBe(404)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const { error_description: description } = (await response.json()) as Record<string, string>
    expect(description).toMatch(/ The token endpoint is http:\/\/\S+\/token, /)
  })
})

test.for(['POST', 'PUT', 'DELETE', 'PATCH'])(
  '%s to what can only be read is refused with what is allowed',
  async (method, { running }) => {
    const response = await get(running, '/.well-known/jwks.json', { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD, OPTIONS')
    const live = await get(running, '/livez', { method })
    expect(live.headers.get('allow')).toBe('GET, HEAD')
    expect(await live.json()).toHaveProperty('error_description', 'This path takes GET, HEAD.')
  },
)

describe('the metadata (RFC 8414)', () => {
  test.for(['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'])(
    'at %s names this issuer and endpoints that exist',
    async (path, { running }) => {
      const response = await get(running, path)
      expect(response.headers.get('cache-control')).toBe('public, max-age=300')
      const metadata = (await response.json()) as Record<string, string>
      expect(metadata).toMatchObject({
        issuer: running.url,
        token_endpoint: `${running.url}/token`,
        authorization_endpoint: `${running.url}/authorize`,
        jwks_uri: `${running.url}/.well-known/jwks.json`,
        grant_types_supported: ['client_credentials'],
        token_endpoint_auth_methods_supported: [
          'client_secret_basic',
          'client_secret_post',
          'private_key_jwt',
        ],
        response_types_supported: ['none'],
      })
      // RFC 8414 §3.2; openid_connect of Ruby refuses an empty list.
      expect(JSON.stringify(metadata)).not.toContain('[]')
      expect((await fetch(metadata['jwks_uri'] as string)).status).toBe(200)
      const etag = response.headers.get('etag') as string
      expect((await get(running, path, { headers: { 'if-none-match': etag } })).status).toBe(304)
    },
  )

  ownTest(
    'names the algorithms of the keys that are published, whatever the setting says',
    async ({ database, startService: start }) => {
      const environment = { MINTMARK_SIGNING_ALGORITHMS: 'ES256,EdDSA' }
      const service = await start({ environment })
      const again = await start()
      for (const { url } of [service, again]) {
        const response = await fetch(`${url}/.well-known/openid-configuration`)
        expect(await response.json()).toMatchObject({
          id_token_signing_alg_values_supported: ['ES256', 'EdDSA'],
          claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope'],
        })
      }
      const before = (await fetch(`${again.url}/.well-known/openid-configuration`)).headers.get('etag')
      // The service that has EdDSA in its setting would make another key of it, and after a revocation any would.
      await service.close()
      await database.query(`DELETE FROM signing_key WHERE algorithm = 'EdDSA'`)
      const kids = await database.query<{ kid: string }>('SELECT kid FROM signing_key')
      await until(async () => {
        const response = await fetch(`${again.url}/.well-known/jwks.json`)
        const { keys } = (await response.json()) as { keys: { kid: string }[] }
        return keys.map(({ kid }) => kid).join() === kids.map(({ kid }) => kid).join()
      })
      const after = await fetch(`${again.url}/.well-known/openid-configuration`)
      expect(await after.json()).toMatchObject({ id_token_signing_alg_values_supported: ['ES256'] })
      expect(after.headers.get('etag')).not.toBe(before)
    },
  )

  test('is the same whatever Host or X-Forwarded-Host says', async ({ running }) => {
    const forged = {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'host=evil.example',
    }
    const metadata = await (
      await get(running, '/.well-known/oauth-authorization-server', { headers: forged })
    ).json()
    expect(metadata).toMatchObject({ issuer: running.url })
  })
})

test('the authorization endpoint says that there is no interactive grant, and sends nobody anywhere', async ({
  running,
}) => {
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: 'CANARY',
    redirect_uri: 'https://evil.example/cb',
    state: 'CANARY',
  })
  const response = await get(running, `/authorize?${query}`, { redirect: 'manual' })
  expect([response.status, response.headers.get('location')]).toEqual([400, null])
  expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  expect(response.headers.get('cache-control')).toBe('no-store')
  const text = await response.text()
  expect(text).toMatch(/^error=unsupported_response_type\n/)
  expect(text).toContain('There is no interactive grant here')
  expect(text).toContain(`${running.url}/token`)
  expect(text).not.toMatch(/CANARY|evil/)
})

test('an issuer with a path has its documents where RFC 8414 §3.1 and OpenID put them', async () => {
  const issuer = 'https://api.example.com/mintmark'
  const service = await startService({ environment: { MINTMARK_ISSUER: issuer } })
  try {
    for (const path of [
      '/.well-known/oauth-authorization-server/mintmark',
      '/mintmark/.well-known/openid-configuration',
      '/.well-known/openid-configuration/mintmark',
      '/mintmark/.well-known/oauth-authorization-server',
    ]) {
      const metadata = await (await fetch(`${service.url}${path}`)).json()
      expect(metadata).toMatchObject({ issuer, token_endpoint: `${issuer}/token` })
    }
    expect((await fetch(`${service.url}/mintmark/.well-known/jwks.json`)).status).toBe(200)
    expect((await fetch(`${service.url}/mintmark/authorize`)).status).toBe(400)
    const client = await registerClient(service.database)
    expect((await requestTokenPatiently(`${service.url}/mintmark`, client)).status).toBe(200)
  } finally {
    await service.close()
  }
})

test('health says whether it lives and whether it can issue', async ({ running }) => {
  expect(await (await get(running, '/livez')).json()).toEqual({ status: 'alive' })
  const readiness = async () => {
    const response = await get(running, '/readyz')
    return [response.status, await response.json()]
  }
  // Ready again a moment later, where the machine was too slow for its look at the database.
  await expect.poll(readiness).toEqual([
    200,
    {
      status: 'ready',
      checks: { open: true, database: true, ledger: true, clock: true, signing_key: true },
      warnings: [],
    },
  ])
})

test('every answer carries the headers that keep browsers out of mischief', async ({ running }) => {
  for (const path of ['/.well-known/jwks.json', '/token', '/livez', '/nowhere']) {
    const { headers } = await get(running, path)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-powered-by')).toBeNull()
    expect(headers.get('x-request-id')).toMatch(/^[\w-]{8,}-[0-9a-z]+$/)
  }
})

describe('a connection with more on it than one request', () => {
  const body = 'grant_type=client_credentials'
  const request = (client: TestClient, more: string) =>
    `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${basic(client.clientId, client.secret)}\r\n` +
    `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`

  test.for([
    [
      'a second one after the last',
      'Connection: close\r\n',
      'POST /token HTTP/1.1\r\nHost: localhost\r\n\r\n',
    ],
    ['garbage', '', 'GARBAGE\r\n\r\n'],
  ] as const)('gets the answer to the first: %s', async ([_title, more, rest], { running }) => {
    const client = await registerClient(running.database)
    const answer = await exchange(running.url, request(client, more) + rest)
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(answer).toContain('"access_token"')
  })

  test('and with nothing but garbage gets a 400 with the headers of all others', async ({ running }) => {
    const answer = await exchange(running.url, 'GARBAGE\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(answer).toContain("default-src 'none'")
  })
})

test('what Node or Fastify would answer by themselves has our headers and repeats nothing', async ({
  running,
}) => {
  const malformed = await get(running, '/%zz?client_secret=CANARY-0123456789')
  expect(malformed.status).toBe(400)
  expect(malformed.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(malformed.headers.get('cache-control')).toBe('no-store')
  expect(await malformed.text()).not.toContain('CANARY')
  const expectation = await exchange(
    running.url,
    'POST /token HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  )
  expect(expectation).toMatch(/^HTTP\/1\.1 417 /)
  expect(expectation).toContain('x-content-type-options: nosniff')
})

/** Content type and body. None of these routes takes one. */
const bodies = [
  ['application/json', '{bad'],
  ['application/json', ''],
  ['application/json', '{"__proto__":1}'],
  ['application/json', '1'.repeat(70_000)],
  ['\u00e9', 'x'],
  ['text/plain', 'x'],
] as const

test('a wrong path or method is refused in words, whatever the body is', async ({ running }) => {
  for (const [contentType, body] of bodies)
    for (const method of ['POST', 'QUERY', 'PUT', 'DELETE'])
      for (const [path, status] of [
        ['/nowhere', 404],
        ['/readyz', 405],
      ] as const) {
        const response = await get(running, path, { method, body, headers: { 'content-type': contentType } })
        const title = [method, path, contentType, body.slice(0, 4)]
        const answer = (await response.json()) as { error: string; error_description?: string }
        expect([title, response.status, answer.error_description?.length ?? 0]).toEqual([
          title,
          status,
          expect.toSatisfy((length: number) => length > 20),
        ])
        expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
      }
})

test.for([
  ['of an announced length', 'Content-Length: 1000000000'],
  ['in chunks', 'Transfer-Encoding: chunked'],
])('a body that nobody reads does not hold its connection: %s', async ([, header], { running }) => {
  for (const line of ['POST /nowhere', 'GET /livez', 'POST /readyz']) {
    const answer = await exchange(running.url, `${line} HTTP/1.1\r\nHost: a\r\n${header}\r\n\r\n`)
    expect([line, answer]).toEqual([line, expect.stringMatching(/\r\nconnection: close\r\n/i)])
    // One answer, and no second one for the body that did not come.
    expect(answer.match(/HTTP\/1\.1 \d{3} /g)).toHaveLength(1)
  }
})

test('methods that hardly anybody knows are refused at /token like all others, with a record', async ({
  running,
}) => {
  const before = await refusedMethods(running)
  for (const method of ['PROPFIND', 'MKCOL', 'SEARCH', 'REPORT']) {
    const response = await get(running, '/token', { method })
    expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, 'POST'])
  }
  expect(await refusedMethods(running)).toBe(before + 4)
})

async function refusedMethods(running: TestService): Promise<number> {
  const rows = await running.database.query(`SELECT 1 FROM audit_record WHERE reason = 'method_not_allowed'`)
  return rows.length
}

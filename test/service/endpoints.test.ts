import { importJWK } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { registerClient, requestToken, startService, type TestService } from '../support/service.ts'

/** What anybody may read: the keys, the metadata, the health. */

let running: TestService

beforeAll(async () => {
  running = await startService()
})

afterAll(() => running.close())

const get = (path: string, init: RequestInit = {}) => fetch(`${running.url}${path}`, init)

describe('the JWK Set', () => {
  test('holds public keys only, each usable and named (RFC 7517 §4)', async () => {
    const response = await get('/.well-known/jwks.json')
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

  test('may be cached, and is not sent again to who has it (RFC 9110 §13.1.2)', async () => {
    const first = await get('/.well-known/jwks.json')
    const etag = first.headers.get('etag') as string
    expect(etag).toMatch(/^"[\w-]+"$/)
    expect(first.headers.get('cache-control')).toMatch(/^public, max-age=\d+/)
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await get('/.well-known/jwks.json', { headers: { 'if-none-match': tag } })
      expect(again.status, tag).toBe(304)
      expect(again.headers.get('etag')).toBe(etag)
      expect(await again.text()).toBe('')
    }
    const changed = await get('/.well-known/jwks.json', { headers: { 'if-none-match': '"other"' } })
    expect(changed.status).toBe(200)
  })

  test('answers HEAD without a body, and whatever is accepted or ranged with the whole JSON', async () => {
    const head = await get('/.well-known/jwks.json', { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(await head.text()).toBe('')
    const strange = await get('/.well-known/jwks.json', {
      headers: { accept: 'text/html', range: 'bytes=0-10' },
    })
    expect(strange.status).toBe(200)
    expect(await strange.json()).toHaveProperty('keys')
  })

  test.each([
    '/.well-known/jwks.json/',
    '/.well-known/../token/jwks.json',
    '/.well-known/%2e%2e/x',
    '/.WELL-KNOWN/jwks.json',
    `/${'x'.repeat(4_000)}`,
  ])('is found at its path and no other: %s', async (path) => {
    const response = await get(path)
    expect(response.status).toBe(404)
    expect(response.headers.get('cache-control')).toBeNull()
  })
})

test.each(['POST', 'PUT', 'DELETE', 'PATCH'])(
  '%s to what can only be read is refused with what is allowed',
  async (method) => {
    const response = await get('/.well-known/jwks.json', { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD')
  },
)

describe('the metadata (RFC 8414)', () => {
  test.each(['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'])(
    'at %s names this issuer and endpoints that exist',
    async (path) => {
      const response = await get(path)
      expect(response.headers.get('cache-control')).toBe('public, max-age=3600')
      const metadata = (await response.json()) as Record<string, string>
      expect(metadata).toMatchObject({
        issuer: running.url,
        token_endpoint: `${running.url}/token`,
        jwks_uri: `${running.url}/.well-known/jwks.json`,
        grant_types_supported: ['client_credentials'],
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
        response_types_supported: [],
      })
      expect((await fetch(metadata['jwks_uri'] as string)).status).toBe(200)
      const etag = response.headers.get('etag') as string
      expect((await get(path, { headers: { 'if-none-match': etag } })).status).toBe(304)
    },
  )

  test('is the same whatever Host or X-Forwarded-Host says', async () => {
    const forged = {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      forwarded: 'host=evil.example',
    }
    const metadata = await (await get('/.well-known/oauth-authorization-server', { headers: forged })).json()
    expect(metadata).toMatchObject({ issuer: running.url })
  })
})

test('an issuer with a path has its documents where RFC 8414 §3.1 and OpenID put them', async () => {
  const issuer = 'https://api.example.com/mintmark'
  const service = await startService({ environment: { MINTMARK_ISSUER: issuer } })
  try {
    for (const path of [
      '/.well-known/oauth-authorization-server/mintmark',
      '/mintmark/.well-known/openid-configuration',
    ]) {
      const metadata = await (await fetch(`${service.url}${path}`)).json()
      expect(metadata).toMatchObject({ issuer, token_endpoint: `${issuer}/token` })
    }
    expect((await fetch(`${service.url}/mintmark/.well-known/jwks.json`)).status).toBe(200)
    const client = await registerClient(service.database)
    expect((await requestToken(`${service.url}/mintmark`, client)).status).toBe(200)
  } finally {
    await service.close()
  }
})

test('health says whether it lives and whether it can issue', async () => {
  expect(await (await get('/livez')).json()).toEqual({ status: 'alive' })
  const ready = await get('/readyz')
  expect(ready.status).toBe(200)
  expect(await ready.json()).toEqual({
    status: 'ready',
    checks: { open: true, database: true, ledger: true, clock: true, signing_key: true },
    warnings: [],
  })
})

test('every answer carries the headers that keep browsers out of mischief', async () => {
  for (const path of ['/.well-known/jwks.json', '/token', '/livez', '/nowhere']) {
    const { headers } = await get(path)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-powered-by')).toBeNull()
    expect(headers.get('x-request-id')).toMatch(/^[\w-]{8,}-[0-9a-z]+$/)
  }
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import { startService, type TestService } from '../support/service.ts'

/** What scripts of other web pages may read (Fetch Standard §3.3): the keys and the metadata, and nothing else. */

let running: TestService

beforeAll(async () => {
  running = await startService()
})

afterAll(() => running.close())

const get = (path: string, init: RequestInit = {}) => fetch(`${running.url}${path}`, init)

test.each([
  '/.well-known/jwks.json',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
])('a script of any web page may read %s', async (path) => {
  const origin = { origin: 'https://page.example' }
  const first = await get(path, { headers: origin })
  expect([first.status, first.headers.get('access-control-allow-origin')]).toEqual([200, '*'])
  const etag = first.headers.get('etag') as string
  const again = await get(path, { headers: { ...origin, 'if-none-match': etag } })
  expect([again.status, again.headers.get('access-control-allow-origin')]).toEqual([304, '*'])
  const preflight = await get(path, {
    method: 'OPTIONS',
    headers: {
      ...origin,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'if-none-match,mcp-protocol-version',
    },
  })
  expect(preflight.status).toBe(204)
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
  expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, HEAD')
  expect(preflight.headers.get('access-control-allow-headers')).toBe('*')
})

test.each(['/token', '/livez', '/readyz', '/authorize'])('no web page may read %s', async (path) => {
  const answer = await get(path, { headers: { origin: 'https://page.example' } })
  expect(answer.headers.get('access-control-allow-origin')).toBeNull()
})

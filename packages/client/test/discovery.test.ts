/**
 * From a bare 401 to a token (RFC 9728): services that are not what they should be, and what challenges say.
 * test/http/discovery.test.ts has the ones that are right.
 */
import { describe, expect, test } from 'vitest'
import { challengesOf } from '../src/challenge.ts'
import { createTokenSource, type DiscoveringOptions } from '../src/index.ts'
import { FakeTime, failureOf, json, startServer, type TestServer, tokens } from './support.ts'

const sourceOf = (issuer: TestServer, time = new FakeTime()) =>
  createTokenSource({ issuer: issuer.url, clientId: 'billing', clientSecret: 'secret', time })
const askedOf = ({ requests }: TestServer) =>
  requests.map(({ form }) => [form.get('resource'), form.get('scope')])

describe('a service that is not what it should be', () => {
  async function refused(challenge: (url: string) => string, more: object = {}, status = 200) {
    const [issuer, service] = [await startServer(tokens()), await startServer()]
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
    const issuer = await startServer(tokens())
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

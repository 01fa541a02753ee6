/** Where the token endpoint is comes from the issuer's metadata, and from nobody else; wrong options make no source. */
import { describe, expect, test } from 'vitest'
import { createTokenSource } from '../src/index.ts'
import { type Answer, FakeTime, failureOf, json, newSource, orders, startServer, tokens } from './support.ts'

describe('the issuer', () => {
  test('its metadata say where the token endpoint is, and are asked for once', async () => {
    const { server, source } = await newSource()
    let asked = 0
    server.metadata = (response, { path }) => {
      asked += 1
      expect(path).toBe('/.well-known/oauth-authorization-server')
      json({ issuer: server.url, token_endpoint: `${server.url}/elsewhere` })(response)
    }
    await Promise.all([source.token(orders), source.token('a'), source.token('b')])
    expect(server.requests.map(({ path }) => path)).toEqual(['/elsewhere', '/elsewhere', '/elsewhere'])
    expect(asked).toBe(1)
  })

  test('what is known of it is used while it does not answer', async () => {
    const { server, time, source } = await newSource()
    await source.token(orders)
    server.metadata = json({}, 503)
    time.pass(4_000)
    expect(await source.token(orders)).toBe('token-2')
  })

  test('and while its metadata come too late, which holds up one request in a minute', async () => {
    let asked = 0
    let patienceEnds = (): void => undefined
    const time = new FakeTime()
    time.sleep = () =>
      new Promise((resolve) => {
        patienceEnds = resolve
      })
    const { server, source } = await newSource([tokens()], { time })
    await source.token(orders)
    server.metadata = () => {
      asked += 1
      patienceEnds()
    }
    const askedAfter: number[] = []
    for (const seconds of [4_000, 59, 1]) {
      time.pass(seconds)
      await source.token(`after ${seconds}`)
      askedAfter.push(asked)
    }
    expect(askedAfter).toEqual([1, 1, 2])
  })

  test('after an hour its metadata count that come in time', async () => {
    const time = new FakeTime()
    // Nobody's patience ends.
    time.sleep = () => new Promise(() => {})
    const { server, source } = await newSource([tokens()], { time })
    await source.token(orders)
    server.metadata = json({ issuer: server.url, token_endpoint: `${server.url}/moved` })
    time.pass(4_000)
    await source.token(orders)
    expect(server.requests.map(({ path }) => path)).toEqual(['/token', '/moved'])
  })

  test('with a path, the name stands before it (RFC 8414 §3.1)', async () => {
    const server = await startServer(tokens())
    const issuer = `${server.url}/tenant`
    server.metadata = (response, { path }) => {
      expect(path).toBe('/.well-known/oauth-authorization-server/tenant')
      json({ issuer, token_endpoint: `${issuer}/token` })(response)
    }
    const source = createTokenSource({ issuer, clientId: 'a', clientSecret: 'b' })
    expect(await source.token(orders)).toBe('token-1')
    expect(server.requests[0]?.path).toBe('/tenant/token')
  })

  test.each<[name: string, metadata: Answer]>([
    [
      'another issuer',
      json({ issuer: 'https://other.example', token_endpoint: 'https://other.example/token' }),
    ],
    ['no JSON', (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
    ['a redirect', (response) => response.writeHead(302, { location: 'https://other.example' }).end()],
    ['not found', json({}, 404)],
    ['a list', json([])],
  ])('%s: no token', async (_name, metadata) => {
    const { server, source } = await newSource()
    server.metadata = metadata
    expect(await failureOf(source.token(orders))).toMatchObject({ code: 'metadata_invalid' })
    expect(server.requests).toEqual([])
  })

  test.each([['http://tokens.example.com/token'], ['ftp://x/'], ['nothing'], [7], [null]])(
    'a token endpoint like %j is not used',
    async (endpoint) => {
      const { server, source } = await newSource()
      server.metadata = json({ issuer: server.url, token_endpoint: endpoint })
      expect(await failureOf(source.token(orders))).toMatchObject({ code: 'metadata_invalid' })
    },
  )

  test('its metadata may name another endpoint for those with a certificate (RFC 8705 §5)', async () => {
    const server = await startServer(tokens())
    const token_endpoint = `${server.url}/token`
    const mtls_endpoint_aliases = { token_endpoint: `${server.url}/mtls/token` }
    server.metadata = json({ issuer: server.url, token_endpoint, mtls_endpoint_aliases })
    const options = { issuer: server.url, clientId: 'billing' }
    // Over TLS they would be read.
    const certificate = { certificateFile: '/nowhere', privateKeyFile: '/nowhere' }
    expect(await createTokenSource({ ...options, certificate }).token()).toBe('token-1')
    expect(await createTokenSource({ ...options, clientSecret: 'a' }).token()).toBe('token-2')
    expect(
      server.requests.map(({ path, form, headers }) => [path, form.get('client_id'), headers.authorization]),
    ).toEqual([
      ['/mtls/token', 'billing', undefined],
      ['/token', null, expect.stringContaining('Basic ')],
    ])
  })

  test('needs no metadata where the token endpoint is said', async () => {
    const server = await startServer(tokens())
    server.metadata = json({}, 404)
    const options = { issuer: server.url, clientId: 'a', clientSecret: 'b', tokenEndpoint: `${server.url}/t` }
    expect(await createTokenSource(options).token(orders)).toBe('token-1')
  })
})

test.each<[options: object, says: string]>([
  [{ issuer: 'tokens' }, 'issuer must be a URL'],
  [{ issuer: 'http://tokens.example.com' }, 'issuer must begin with https://'],
  [{ issuer: 'https://tokens.example.com?a' }, 'issuer must be a URL'],
  [{ tokenEndpoint: 'http://tokens.example.com/token' }, 'tokenEndpoint must begin with https://'],
  [{ clientId: undefined }, 'clientId'],
  [{ clientId: '' }, 'clientId'],
  [{ clientSecret: undefined }, 'give one of clientSecret, clientSecretFile,'],
  [{ clientSecret: '' }, 'clientSecret is empty'],
  [{ clientSecretFile: '/a' }, 'give one of clientSecret and clientSecretFile'],
  [{ clientSecret: undefined, privateKey: 'nothing' }, 'cannot be read'],
  [{ timeoutSeconds: 0 }, 'timeoutSeconds'],
  [{ dpop: { privateKey: 'nothing' } }, 'cannot be read'],
])('options like %j are refused', (options, says) => {
  const usual = { issuer: 'https://tokens.example.com', clientId: 'a', clientSecret: 'secret-in-no-message' }
  const make = () => createTokenSource({ ...usual, ...options })
  expect(make).toThrow(TypeError)
  expect(make).toThrow(says)
  expect(make).not.toThrow('secret-in-no-message')
})

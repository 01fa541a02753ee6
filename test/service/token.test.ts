/** Long because it is a table of all that can be said to the token endpoint, with the answer and the record. */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { describe, expect } from 'vitest'
import { limits } from '../../src/limits.ts'
import { sharedTest } from '../support/fixtures.ts'
import { flood, statusOf } from '../support/load.ts'
import {
  basic,
  invoices,
  orders,
  registerClient,
  requestToken,
  requestTokenPatiently,
  startService,
  type TestClient,
  type TestService,
  unknownSecret,
} from '../support/service.ts'

/**
 * Every kind of answer of `POST /token`, good and bad, over real HTTP: status, headers, body, and the one
 * record it leaves (RFC 6749 §5.1 and §5.2).
 */

const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const running = await startService({
      database,
      environment: {
        MINTMARK_FAILURES_PER_CLIENT_MAX: '100000',
        MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000',
      },
    })
    onCleanup(() => running.close())
    return running
  })
  .extend('client', { scope: 'file' }, ({ running }) =>
    registerClient(running.database, { clientId: 'billing' }),
  )
  .extend('other', { scope: 'file' }, ({ running }) =>
    registerClient(running.database, {
      clientId: 'reports',
      method: 'client_secret_post',
      access: { [orders]: ['orders:read'], [invoices]: ['invoices:read'] },
    }),
  )

interface RecordRow {
  outcome: string
  error: string | null
  reason: string | null
  client_id: string | null
  credential_id: string | null
  audience: string | null
  scope: string | null
  count: number
  user_agent: string | null
  detail: string | null
}

/** The records that one piece of work left, found by a request id that nobody else has. */
async function recordOf(running: TestService, response: Response): Promise<RecordRow> {
  const id = response.headers.get('x-request-id')
  const rows = await running.database.query<RecordRow>('SELECT * FROM audit_record WHERE request_id = $1', [
    id,
  ])
  expect(rows, 'exactly one record for a request').toHaveLength(1)
  return rows[0] as RecordRow
}

interface Attempt {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

function send(
  running: TestService,
  { method = 'POST', path = '/token', headers = {}, body }: Attempt,
): Promise<Response> {
  return fetch(`${running.url}${path}`, {
    method,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    ...(body === undefined ? {} : { body }),
  })
}

const grant = 'grant_type=client_credentials'
const authorized = (client: TestClient) => ({ authorization: basic(client.clientId, client.secret) })

describe('a grant', () => {
  test.for(['', 'Identity'])(
    'comes without a coding of the body: "%s"',
    async (coding, { client, running }) => {
      const headers = { ...authorized(client), 'content-encoding': coding }
      expect((await send(running, { headers, body: grant })).status).toBe(200)
    },
  )

  test('answers as RFC 6749 §5.1 says, and is recorded with everything that identifies it', async ({
    client,
    running,
  }) => {
    const response = await requestToken(running.url, client, { scope: 'orders:write' })
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('pragma')).toBe('no-cache')
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
    const answer = (await response.json()) as { access_token: string; expires_in: number }
    expect(Object.keys(answer)).toEqual(['access_token', 'token_type', 'expires_in', 'scope'])
    const [header, payload] = answer.access_token
      .split('.')
      .map((part) => Buffer.from(part, 'base64url').toString())
    const claims = JSON.parse(payload as string)
    const rows = await running.database.query('SELECT * FROM audit_record WHERE jti = $1', [claims.jti])
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({
      type: 'token',
      outcome: 'issued',
      error: null,
      reason: null,
      client_id: 'billing',
      authentication_method: 'client_secret_basic',
      credential_id: client.secretId,
      audience: orders,
      scope: 'orders:write',
      kid: JSON.parse(header as string).kid,
      expires_at: new Date(claims.exp * 1000),
      address: '127.0.0.1',
      request_id: response.headers.get('x-request-id'),
    })
  })

  test('without a scope gets the scopes granted, and says which (RFC 6749 §3.3)', async ({
    client,
    running,
  }) => {
    const answer = await (await requestToken(running.url, client)).json()
    expect(answer).toMatchObject({ scope: 'orders:read orders:write' })
  })

  test('a scope asked for twice is one scope', async ({ client, running }) => {
    const answer = await (
      await requestToken(running.url, client, { scope: 'orders:read orders:read' })
    ).json()
    expect(answer).toMatchObject({ scope: 'orders:read' })
  })

  test('the id in the body beside Basic is no second method', async ({ client, running }) => {
    expect((await requestTokenPatiently(running.url, client, { client_id: client.clientId })).status).toBe(
      200,
    )
  })

  test.for(['lifetime', 'expires_in', 'sub', 'iss', 'exp', 'claims', 'foo'])(
    'the unknown parameter %s changes nothing (RFC 6749 §3.2)',
    async (name, { client, running }) => {
      const body = `${grant}&${name}=1&${name}=2`
      const answer = (await (await send(running, { headers: authorized(client), body })).json()) as Record<
        string,
        unknown
      >
      expect(answer['expires_in']).toBe(300)
    },
  )

  test('an id of the request in the query changes nothing: MSAL sends one (RFC 6749 §3.2)', async ({
    client,
    running,
  }) => {
    const path = '/token?client-request-id=f760d23d-8c5d-4782-8206-6f115845e4c8'
    expect((await send(running, { path, headers: authorized(client), body: grant })).status).toBe(200)
  })

  test('fifty requests in one pipeline get fifty tokens and fifty records', async ({ client, running }) => {
    const body = grant
    const request =
      `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorized(client).authorization}\r\n` +
      `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n` +
      `User-Agent: pipeline\r\n\r\n${body}`
    const answers = await exchange(
      running,
      request.repeat(50),
      (text) => text.split('"access_token"').length === 51,
    )
    const tokens = [...answers.matchAll(/"access_token":"([^"]+)"/g)].map((match) => match[1])
    expect(new Set(tokens).size).toBe(50)
    const rows = await running.database.query(
      `SELECT DISTINCT jti FROM audit_record WHERE user_agent = 'pipeline' AND outcome = 'issued'`,
    )
    expect(rows).toHaveLength(50)
  })
})

/** Sends raw bytes and collects what comes back until it is enough or the other side closes. */
function exchange(
  running: TestService,
  request: string,
  enough: (text: string) => boolean = () => false,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(running.url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (enough(text)) socket.destroy()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
    socket.write(request)
  })
}

interface Refused extends Attempt {
  readonly title: string
  readonly status: number
  readonly error: string
  readonly reason: string
}

describe('a refusal', () => {
  const rows: readonly Refused[] = [
    // The message (RFC 9110).
    { title: 'GET', method: 'GET', status: 405, error: 'invalid_request', reason: 'method_not_allowed' },
    {
      title: 'PUT',
      method: 'PUT',
      body: grant,
      status: 405,
      error: 'invalid_request',
      reason: 'method_not_allowed',
    },
    {
      title: 'DELETE',
      method: 'DELETE',
      status: 405,
      error: 'invalid_request',
      reason: 'method_not_allowed',
    },
    {
      title: 'OPTIONS',
      method: 'OPTIONS',
      status: 405,
      error: 'invalid_request',
      reason: 'method_not_allowed',
    },
    {
      title: 'a secret in the query (RFC 6749 §2.3.1)',
      path: '/token?client_id=billing&client_secret=canary',
      body: grant,
      status: 400,
      error: 'invalid_request',
      reason: 'query_string_present',
    },
    {
      title: 'JSON',
      headers: { 'content-type': 'application/json' },
      body: '{"grant_type":"client_credentials"}',
      status: 415,
      error: 'invalid_request',
      reason: 'content_type_unsupported',
    },
    {
      title: 'JSON with operators for a database',
      headers: { 'content-type': 'application/json' },
      body: '{"client_id":{"not":""},"client_secret":{"contains":""}}',
      status: 415,
      error: 'invalid_request',
      reason: 'content_type_unsupported',
    },
    {
      title: 'plain text',
      headers: { 'content-type': 'text/plain' },
      body: grant,
      status: 415,
      error: 'invalid_request',
      reason: 'content_type_unsupported',
    },
    {
      title: 'multipart',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body: '--x--',
      status: 415,
      error: 'invalid_request',
      reason: 'content_type_unsupported',
    },
    {
      title: 'another charset (RFC 6749 Appendix B)',
      headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-16' },
      body: grant,
      status: 415,
      error: 'invalid_request',
      reason: 'content_type_unsupported',
    },
    {
      title: 'a media type with something stuck to it',
      headers: { 'content-type': 'application/x-www-form-urlencodedx' },
      body: grant,
      status: 415,
      error: 'invalid_request',
      reason: 'content_type_unsupported',
    },
    {
      title: 'a compressed body',
      headers: { 'content-encoding': 'gzip' },
      body: grant,
      status: 415,
      error: 'invalid_request',
      reason: 'content_encoding_unsupported',
    },
    {
      title: 'a body over 64 KiB',
      body: `${grant}&x=${'a'.repeat(65 * 1024)}`,
      status: 413,
      error: 'invalid_request',
      reason: 'body_too_large',
    },
    {
      title: 'a byte order mark',
      body: `\ufeff${grant}`,
      status: 400,
      error: 'invalid_request',
      reason: 'body_malformed',
    },
    { title: 'an empty body', status: 400, error: 'invalid_request', reason: 'grant_type_missing' },
    // The grant (RFC 6749 §4.4.2, §5.2).
    {
      title: 'no grant_type',
      body: 'scope=orders:read',
      status: 400,
      error: 'invalid_request',
      reason: 'grant_type_missing',
    },
    {
      title: 'the password grant',
      body: 'grant_type=password',
      status: 400,
      error: 'unsupported_grant_type',
      reason: 'grant_type_unsupported',
    },
    {
      title: 'the grant in capitals',
      body: 'grant_type=CLIENT_CREDENTIALS',
      status: 400,
      error: 'unsupported_grant_type',
      reason: 'grant_type_unsupported',
    },
    {
      title: 'a parameter twice',
      body: `${grant}&${grant}`,
      status: 400,
      error: 'invalid_request',
      reason: 'parameter_repeated',
    },
    {
      title: 'NUL in an identifier',
      body: `${grant}&client_id=a%00b&client_secret=x`,
      status: 400,
      error: 'invalid_request',
      reason: 'character_forbidden',
    },
    {
      title: 'ten thousand scopes',
      body: `${grant}&client_id=billing&client_secret=x&scope=${'openid+'.repeat(9_000)}openid`,
      status: 400,
      error: 'invalid_request',
      reason: 'parameter_too_long',
    },
    {
      title: 'a hundred and one scopes',
      body: `${grant}&client_id=billing&client_secret=x&scope=${Array(101).fill('a').join('+')}`,
      status: 400,
      error: 'invalid_scope',
      reason: 'scopes_too_many',
    },
    // Authentication (RFC 6749 §2.3, §5.2).
    {
      title: 'no authentication',
      body: grant,
      status: 401,
      error: 'invalid_client',
      reason: 'authentication_missing',
    },
    {
      title: 'an identifier alone',
      body: `${grant}&client_id=billing`,
      status: 400,
      error: 'invalid_client',
      reason: 'authentication_missing',
    },
    {
      title: 'a body whose secret is empty',
      body: `${grant}&client_id=billing&client_secret=`,
      status: 400,
      error: 'invalid_client',
      reason: 'authentication_missing',
    },
    {
      title: 'an assertion in the body',
      body: `${grant}&client_assertion=x&client_assertion_type=y`,
      status: 400,
      error: 'invalid_client',
      reason: 'authentication_method_unsupported',
    },
    {
      title: 'a space that is not encoded',
      body: `${grant}&client_id=billing&client_secret=x&scope=a b`,
      status: 400,
      error: 'invalid_request',
      reason: 'space_not_encoded',
    },
    {
      title: 'a bearer token',
      headers: { authorization: 'Bearer x' },
      body: grant,
      status: 401,
      error: 'invalid_client',
      reason: 'authentication_method_unsupported',
    },
    {
      title: 'Basic that is no base64',
      headers: { authorization: 'Basic %%%' },
      body: grant,
      status: 400,
      error: 'invalid_request',
      reason: 'authorization_malformed',
    },
    {
      title: 'Basic and a secret in the body',
      headers: { authorization: basic('billing', 'x') },
      body: `${grant}&client_id=billing&client_secret=x`,
      status: 400,
      error: 'invalid_request',
      reason: 'authentication_methods_multiple',
    },
    {
      title: 'Basic and an assertion',
      headers: { authorization: basic('billing', 'x') },
      body: `${grant}&client_assertion=x&client_assertion_type=y`,
      status: 400,
      error: 'invalid_request',
      reason: 'authentication_methods_multiple',
    },
    {
      title: 'two different identifiers',
      headers: { authorization: basic('billing', 'x') },
      body: `${grant}&client_id=reports`,
      status: 400,
      error: 'invalid_request',
      reason: 'client_id_mismatch',
    },
    {
      title: 'a secret that is none of ours',
      headers: { authorization: basic('billing', 'guess') },
      body: grant,
      status: 401,
      error: 'invalid_client',
      reason: 'secret_malformed',
    },
    {
      title: 'an empty secret',
      headers: { authorization: basic('billing', '') },
      body: grant,
      status: 401,
      error: 'invalid_client',
      reason: 'secret_malformed',
    },
    {
      title: 'a secret of 16,000 characters',
      headers: {},
      body: `${grant}&client_id=billing&client_secret=${'a'.repeat(16_000)}`,
      status: 400,
      error: 'invalid_client',
      reason: 'secret_malformed',
    },
  ]

  test.for(rows)('$title: $status $error', async ({ status, error, reason, ...attempt }, { running }) => {
    const response = await send(running, attempt)
    expect(response.status).toBe(status)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const challenge = response.headers.get('www-authenticate')
    if (status === 401) expect(challenge).toBe('Basic realm="mintmark", charset="UTF-8"')
    else expect(challenge).toBeNull()
    if (status === 405) expect(response.headers.get('allow')).toBe('POST')
    const body = (await response.json()) as Record<string, string>
    expect(Object.keys(body)).toEqual(['error', 'error_description'])
    expect(body['error']).toBe(error)
    expect(body['error_description']).not.toMatch(/canary|guess/)
    expect(await recordOf(running, response)).toMatchObject({ outcome: 'refused', error, reason, count: 1 })
  })

  test('HEAD is refused like GET, without a body', async ({ running }) => {
    const response = await send(running, { method: 'HEAD' })
    expect(response.status).toBe(405)
    expect((await recordOf(running, response)).reason).toBe('method_not_allowed')
  })

  test.for([
    ['a scope that is not granted', { scope: 'orders:delete' }, 'invalid_scope', 'scope_not_granted'],
    [
      'one good scope and one bad',
      { scope: 'orders:read orders:delete' },
      'invalid_scope',
      'scope_not_granted',
    ],
    ['a scope in capitals', { scope: 'ORDERS:READ' }, 'invalid_scope', 'scope_not_granted'],
    ['scopes with a comma', { scope: 'orders:read,orders:write' }, 'invalid_scope', 'scope_not_granted'],
    ['two spaces between scopes', { scope: 'orders:read  orders:write' }, 'invalid_scope', 'scope_malformed'],
    ['a resource that is no URI', { resource: 'orders' }, 'invalid_target', 'target_malformed'],
    ['a resource with a fragment', { resource: `${orders}#x` }, 'invalid_target', 'target_malformed'],
    ['a resource that is not granted', { resource: invoices }, 'invalid_target', 'target_not_granted'],
    [
      'a resource that does not exist',
      { resource: 'https://x.example' },
      'invalid_target',
      'target_not_granted',
    ],
    ['another spelling of the resource', { resource: `${orders}/` }, 'invalid_target', 'target_not_granted'],
    [
      'a resource and another audience',
      { resource: orders, audience: invoices },
      'invalid_target',
      'target_conflict',
    ],
  ])('%s, by an authenticated client', async ([_title, parameters, error, reason], { client, running }) => {
    const response = await requestToken(running.url, client, parameters as unknown as Record<string, string>)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error })
    expect(await recordOf(running, response)).toMatchObject({
      reason,
      client_id: 'billing',
      outcome: 'refused',
    })
  })

  test('a client of several resources has to name one', async ({ other, running }) => {
    const body = `${grant}&client_id=reports&client_secret=${other.secret}`
    const response = await send(running, { body })
    expect(await response.json()).toMatchObject({ error: 'invalid_target' })
    expect(await recordOf(running, response)).toMatchObject({
      reason: 'target_missing',
      credential_id: other.secretId,
    })
  })

  test('a client without access is unauthorized_client', async ({ running }) => {
    const nobody = await registerClient(running.database, { access: {} })
    const response = await requestToken(running.url, nobody)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: 'unauthorized_client' })
  })

  test('the method that authenticated is the one that counts, and only its owner is told', async ({
    other,
    running,
  }) => {
    const right = await requestToken(running.url, other, { resource: orders })
    expect(await right.json()).toMatchObject({
      error_description: expect.stringContaining('token_endpoint_auth'),
    })
    expect(right.status).toBe(401)
    expect((await recordOf(running, right)).reason).toBe('authentication_method_not_registered')
    const wrong = await requestToken(running.url, { clientId: 'reports', secret: unknownSecret() })
    expect(await wrong.json()).toEqual({
      error: 'invalid_client',
      error_description: 'Client authentication failed.',
    })
  })

  test('a client for which no method is named may use either, one that names one may not', async ({
    running,
  }) => {
    const registered = await registerClient(running.database, { method: null })
    const { clientId, secret } = registered
    const inBody = (id: string, text: string) =>
      send(running, { body: `${grant}&client_id=${id}&client_secret=${text}` })
    expect((await requestTokenPatiently(running.url, registered)).status).toBe(200)
    expect((await inBody(clientId, secret)).status).toBe(200)
    await running.database.query(
      `UPDATE client SET token_endpoint_auth_method = 'client_secret_basic' WHERE client_id = $1`,
      [clientId],
    )
    expect((await requestTokenPatiently(running.url, registered)).status).toBe(200)
    const pinned = await inBody(clientId, secret)
    expect([pinned.status, pinned.headers.get('www-authenticate')]).toEqual([400, null])
    expect(await pinned.json()).toMatchObject({
      error: 'invalid_client',
      error_description: expect.stringContaining('token_endpoint_auth_method'),
    })
  })

  test('a wrong secret in the body has the same answer as in the header, without a challenge', async ({
    running,
  }) => {
    const body = `${grant}&client_id=reports&client_secret=${unknownSecret()}`
    const response = await send(running, { body })
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([400, null])
    expect(await response.text()).toBe(
      '{"error":"invalid_client","error_description":"Client authentication failed."}',
    )
    expect(running.log()).toMatch(/"status":400[^\n]*"secret_wrong"|"secret_wrong"[^\n]*"status":400/)
  })

  test('two Authorization headers, of which Node would show only the first', async ({ client, running }) => {
    const answer = await exchange(
      running,
      `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorized(client).authorization}\r\n` +
        `Authorization: ${basic('reports', 'x')}\r\nContent-Type: application/x-www-form-urlencoded\r\n` +
        `Content-Length: ${grant.length}\r\nConnection: close\r\n\r\n${grant}`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
    expect(answer).toContain('There is more than one Authorization header.')
  })

  test.for([
    ['both Content-Length and Transfer-Encoding', 'Content-Length: 5\r\nTransfer-Encoding: chunked'],
    ['two Content-Lengths', 'Content-Length: 5\r\nContent-Length: 6'],
    ['a folded header', 'X-Folded: a\r\n b'],
    ['NUL in a header', 'X-Nul: a\0b'],
  ])('%s is answered with 400 and an end (RFC 9112)', async ([_title, header], { running }) => {
    const answer = await exchange(
      running,
      `POST /token HTTP/1.1\r\nHost: localhost\r\n${header}\r\n\r\nhello`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
    expect(answer).toContain('connection: close')
  })

  test('headers over 16 KiB are answered with 431', async ({ running }) => {
    const answer = await exchange(
      running,
      `POST /token HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ${'a'.repeat(50_000)}\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 431 /)
  })

  test('a request header that is called __proto__ harms nobody', async ({ client, running }) => {
    const answer = await exchange(
      running,
      `POST /token HTTP/1.1\r\nHost: localhost\r\n__proto__: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 415 /)
    expect((await requestTokenPatiently(running.url, client)).status).toBe(200)
  })
})

describe('what does not tell', () => {
  /** Everything that is wrong with a credential, each from a client of its own (RFC 6749 §10.10). */
  const wrong: readonly (readonly [reason: string, make: (running: TestService) => Promise<TestClient>])[] = [
    ['client_unknown', async () => ({ clientId: 'nobody', secretId: '', secret: unknownSecret() })],
    [
      'secret_wrong',
      async (running) => ({ ...(await registerClient(running.database)), secret: unknownSecret() }),
    ],
    [
      'client_disabled',
      (running) => registeredThen(running, `UPDATE client SET status = 'disabled' WHERE client_id = $1`),
    ],
    [
      'client_deleted',
      (running) => registeredThen(running, `UPDATE client SET status = 'deleted' WHERE client_id = $1`),
    ],
    [
      'client_expired',
      (running) => registeredThen(running, `UPDATE client SET expires_at = now() WHERE client_id = $1`),
    ],
    [
      'secret_expired',
      (running) =>
        registeredThen(running, `UPDATE client_secret SET expires_at = now() WHERE client_id = $1`),
    ],
    [
      'secret_revoked',
      (running) =>
        registeredThen(running, `UPDATE client_secret SET revoked_at = now() WHERE client_id = $1`),
    ],
    [
      'network_not_allowed',
      (running) =>
        registeredThen(running, `UPDATE client SET allowed_networks = '{10.0.0.0/8}' WHERE client_id = $1`),
    ],
    [
      'client_has_no_secret',
      (running) => registeredThen(running, `DELETE FROM client_secret WHERE client_id = $1`),
    ],
    [
      'secret_hash_unusable',
      (running) =>
        registeredThen(running, `UPDATE client_secret SET hash = '$2b$10$abc' WHERE client_id = $1`),
    ],
    [
      'secret_hash_unusable',
      (running) => registeredThen(running, `UPDATE client_secret SET hash = '' WHERE client_id = $1`),
    ],
    [
      'secret_hash_unusable',
      (running) =>
        registeredThen(
          running,
          `UPDATE client_secret SET hash =
          '$argon2id$v=19$m=4294967295,t=2,p=1$Elju+XvcP73RnvgTXOqq9A$WN1ehCZMVz5NCi8/XhGPLDWcpw07b/WvJugZXyh+Nh0'
          WHERE client_id = $1`,
        ),
    ],
    [
      'client_unknown',
      async (running) => {
        const registered = await registerClient(running.database, {
          clientId: `case-${randomBytes(4).toString('hex')}`,
        })
        return { ...registered, clientId: registered.clientId.toUpperCase() }
      },
    ],
  ]

  async function registeredThen(running: TestService, statement: string): Promise<TestClient> {
    const registered = await registerClient(running.database)
    await running.database.query(statement, [registered.clientId])
    return registered
  }

  test.for(wrong)('%s has the same answer to the letter', async ([reason, make], { running }) => {
    const presented = await make(running)
    const response = await requestToken(running.url, presented)
    expect(response.status).toBe(401)
    expect(await response.text()).toBe(
      '{"error":"invalid_client","error_description":"Client authentication failed."}',
    )
    expect(response.headers.get('www-authenticate')).toBe('Basic realm="mintmark", charset="UTF-8"')
    expect((await recordOf(running, response)).reason).toBe(reason)
  })

  test('no beginning, ending or extension of a secret authenticates', async ({ client, running }) => {
    const { secret } = client
    const variants = [
      secret.slice(0, -1),
      secret.slice(1),
      `${secret}a`,
      `${secret} `,
      secret.toLowerCase(),
      secret.slice(0, 30),
    ]
    for (const variant of variants) {
      expect((await requestToken(running.url, { clientId: 'billing', secret: variant })).status).toBe(401)
    }
  })
})

describe('records under pressure', () => {
  test('fields that do not fit are cut or withheld, with their length and hash', async ({ running }) => {
    const longId = 'x'.repeat(10_000)
    const response = await send(running, {
      headers: { 'user-agent': `[31m${'crawler '.repeat(1_200).trim()}` },
      body: `${grant}&client_id=${longId}&client_secret=mm_x`,
    })
    expect(response.status).toBe(400)
    const record = await recordOf(running, response)
    // No client can have such an id.
    expect(record.client_id).toMatch(/^\[withheld: length 10000, hash [0-9a-f]{16}\]$/)
    expect(record.user_agent).toHaveLength(256)
    const { cut } = JSON.parse(record.detail as string)
    expect(cut.user_agent).toMatchObject({ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
    expect(cut.user_agent.length).toBeGreaterThan(9_000)
  })

  test('what would forge a line or turn a terminal is withheld or replaced', async ({ running }) => {
    const id = 'a\u2028b\u202ec\ud83d\ude00d\u0085'
    const response = await send(running, {
      // Headers are read as Latin-1, so this is the one control character of these that can arrive.
      headers: { 'user-agent': 'turn\u0085the\u009bterminal' },
      body: `${grant}&client_id=${encodeURIComponent(id)}&client_secret=x`,
    })
    const record = await recordOf(running, response)
    expect(record.client_id).toMatch(/^\[withheld: length 9, hash [0-9a-f]{16}\]$/)
    expect(record.user_agent).toBe('turn\ufffdthe\ufffdterminal')
  })

  test('both identifiers of a contradiction are named', async ({ client, running }) => {
    const response = await send(running, { headers: authorized(client), body: `${grant}&client_id=reports` })
    const record = await recordOf(running, response)
    expect(record.client_id).toBe('billing')
    expect(JSON.parse(record.detail as string)).toMatchObject({ other_client_id: 'reports' })
  })

  test('a flood is counted to the last refusal, in few records', async ({ running }) => {
    const before = await refusals(running)
    const requests = Array.from({ length: 1_000 }, () => ({ body: 'grant_type=flood' }))
    const startedAt = performance.now()
    expect((await flood(running.url, requests)).map(statusOf)).toEqual(requests.map(() => 400))
    // A slow machine spreads them over more seconds, the first and the last of which are not whole.
    const seconds = Math.ceil((performance.now() - startedAt) / 1_000) + 1
    await expect.poll(async () => (await refusals(running)).total - before.total).toBe(1_000)
    const ofTheirOwn = seconds * limits.refusalRecordsPerSecondMax
    const together = seconds + 1
    expect((await refusals(running)).rows - before.rows).toBeLessThanOrEqual(ofTheirOwn + together)
  })

  async function refusals(running: TestService): Promise<{ total: number; rows: number }> {
    const [row] = await running.database.query<{ total: string; rows: string }>(
      `SELECT coalesce(sum(count), 0) AS total, count(*) AS rows FROM audit_record WHERE reason = 'grant_type_unsupported'`,
    )
    return { total: Number(row?.total), rows: Number(row?.rows) }
  }
})

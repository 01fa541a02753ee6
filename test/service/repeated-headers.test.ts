import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  basic,
  exchange,
  registerClient,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'

/** A header that may be given once: two of it mean one thing to a proxy and another to us, so both are refused. */

let running: TestService
let client: TestClient

beforeAll(async () => {
  running = await startService()
  client = await registerClient(running.database)
})

afterAll(() => running.close())

const form = 'application/x-www-form-urlencoded'
const body = 'grant_type=client_credentials'

const ask = (more: string, authorization = basic(client.clientId, client.secret)) =>
  exchange(
    running.url,
    `POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\nContent-Type: ${form}\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n${more}\r\n${body}`,
  )

test('once is fine, and so is a list in two headers', async () => {
  expect(await ask('Accept: a\r\nAccept: b\r\nX-Forwarded-For: a\r\nX-Forwarded-For: b\r\n')).toMatch(
    /^HTTP\/1\.1 200 /,
  )
})

test.each([
  ['Content-Type', form],
  ['content-type', 'application/json'],
  ['Host', 'other'],
  ['hOST', 'localhost'],
  ['User-Agent', 'a\r\nUser-Agent: b'],
  ['Content-Encoding', 'identity\r\nContent-Encoding: identity'],
  ['Content-Length', String(body.length)],
  ['Proxy-Authorization', 'a\r\nProxy-Authorization: b'],
])('%s twice is refused: %j', async (name, value) => {
  expect(await ask(`${name}: ${value}\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
})

test('the refusal says so, in the answer and in its record', async () => {
  expect(await ask('Host: other\r\n')).toContain('A header that is allowed once was sent more than once.')
  const rows = await running.database.query(`SELECT 1 FROM audit_record WHERE reason = 'header_repeated'`)
  expect(rows.length).toBeGreaterThan(0)
})

test('everywhere', async () => {
  for (const path of ['/livez', '/.well-known/jwks.json', '/nowhere']) {
    const answer = await exchange(
      running.url,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n`,
    )
    expect(answer, path).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain("default-src 'none'")
  }
})

test('Basic without its padding is refused (RFC 7617 §2)', async () => {
  const credentials = `${client.clientId}:${client.secret}`
  const padded = Buffer.from(credentials.length % 3 === 0 ? `${client.clientId}:x` : credentials).toString(
    'base64',
  )
  expect(padded).toContain('=')
  expect(await ask('', `Basic ${padded.replace(/=+$/, '')}`)).toMatch(/^HTTP\/1\.1 400 /)
})

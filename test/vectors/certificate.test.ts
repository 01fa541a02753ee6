/** A token that is bound to a certificate, at a relying service that ends TLS itself: real connections and certificates. */
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createVerifier, requireToken, tokenOf } from '@mintmark/verifier'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { audience, certificateThumbprint, issuer, makeCertificate, makeKey, makeToken } from './make/tools.ts'

const [serverKey, clientKey, otherKey, signingKey] = [
  makeKey('ES256', 'server'),
  makeKey('ES256', 'client'),
  makeKey('ES256', 'other'),
  makeKey('ES256', 'signing'),
] as const
const now = Math.floor(Date.now() / 1000)
const pem = (key: typeof serverKey): string =>
  key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const certificateOf = (key: typeof serverKey): string =>
  makeCertificate('billing', now - 3_600, now + 3_600, key)

const certificate = certificateOf(clientKey)
const token = makeToken(
  signingKey,
  { alg: 'ES256', typ: 'at+jwt', kid: signingKey.kid },
  {
    iss: issuer,
    sub: 'billing',
    client_id: 'billing',
    aud: audience,
    iat: now,
    exp: now + 80_000,
    jti: 'x',
    cnf: { 'x5t#S256': certificateThumbprint(certificate) },
  },
)

let clock = now
const keys = { keys: [signingKey.jwk] }
const guard = requireToken(createVerifier({ issuer, audience, keys, nowSeconds: () => clock }))
const server = createServer(
  // Whether an authority is trusted is not what the token is bound to.
  { key: pem(serverKey), cert: certificateOf(serverKey), requestCert: true, rejectUnauthorized: false },
  (incoming, response) => {
    void guard(incoming, response).then((claims) => claims && response.end(tokenOf(incoming).client_id))
  },
)
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** @returns the status and the body, or the description of the error. */
async function call(agent: Agent): Promise<string> {
  const { port } = server.address() as AddressInfo
  const headers = { authorization: `Bearer ${token}` }
  const sent = request({ agent, port, host: '127.0.0.1', rejectUnauthorized: false, headers }).end()
  const [response] = await once(sent, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  const [, description] = /error_description="([^"]+)"/.exec(response.headers['www-authenticate'] ?? '') ?? []
  return `${response.statusCode} ${description ?? body}`
}

test('is accepted on a connection with the certificate, and refused on one with another or none', async () => {
  clock = now
  expect(await call(new Agent({ key: pem(clientKey), cert: certificate }))).toBe('200 billing')
  expect(await call(new Agent({ key: pem(otherKey), cert: certificateOf(otherKey) }))).toBe(
    '401 The token is bound to another client certificate.',
  )
  // Another certificate for the same key has another thumbprint (RFC 8705 §3.1).
  expect(await call(new Agent({ key: pem(clientKey), cert: certificateOf(clientKey) }))).toBe(
    '401 The token is bound to another client certificate.',
  )
  expect(await call(new Agent({}))).toBe(
    '401 The token is bound to a client certificate, and the connection has none.',
  )
})

test('is refused on a connection that outlives the certificate', async () => {
  clock = now
  const agent = new Agent({ key: pem(clientKey), cert: certificate, keepAlive: true, maxSockets: 1 })
  expect(await call(agent)).toBe('200 billing')
  clock = now + 3_601
  expect(await call(agent)).toBe('401 The client certificate of the token is not valid now.')
  agent.destroy()
})

test('is refused on a resumed session of TLS too, when its certificate has expired', async () => {
  clock = now
  const options = { key: pem(clientKey), cert: certificate, maxCachedSessions: 10 }
  const agent = new Agent(options)
  expect(await call(agent)).toBe('200 billing')
  expect(await call(agent)).toBe('200 billing')
  clock = now + 3_601
  expect(await call(agent)).toBe('401 The client certificate of the token is not valid now.')
})

/** Our own client library against the service, and against relying services that have our own verifier. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer as createPlainServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { describe, expect, onTestFinished } from 'vitest'
import { createTokenSource } from '../../packages/client/src/index.ts'
import { createRequestVerifier, createVerifier } from '../../packages/verifier/src/index.ts'
import { issueCertificate } from '../../src/certificates/authority.ts'
import { renewCertificate } from '../../src/certificates/renewal.ts'
import { makeKey, registerKeyClient } from '../support/assertion.ts'
import { billing, localhost, newAuthority } from '../support/authority.ts'
import { test } from '../support/fixtures.ts'
import { invoices, orders, registerClient, unknownSecret } from '../support/service.ts'

/** A server that the test ends. @returns its port. */
async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

const headersOf = ({ rawHeaders }: IncomingMessage) =>
  rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ''] as const] : []))

describe('a token', () => {
  test('for a secret, and for keys of every kind, is one that a relying service accepts', async ({
    database,
    startService,
  }) => {
    const { url: issuer } = await startService()
    const verifier = createVerifier({ issuer, audience: orders })
    const scopes = { [orders]: ['orders:read', 'orders:write'] }
    const { clientId, secret } = await registerClient(database, { access: scopes })
    const withSecret = createTokenSource({ issuer, clientId, clientSecret: secret })
    const claims = await verifier.verify(await withSecret.token(orders, 'orders:read'))
    expect(claims).toMatchObject({ client_id: clientId, scope: 'orders:read' })
    const all = await withSecret.grant(orders)
    expect(all).toMatchObject({ tokenType: 'Bearer', scopes: ['orders:read', 'orders:write'] })

    for (const algorithm of ['ES256', 'EdDSA', 'PS256', 'RS256'] as const) {
      const key = makeKey(algorithm)
      const client = await registerKeyClient(database, [key], { access: scopes })
      const withKey = createTokenSource({
        issuer,
        ...client,
        privateKey: key.privateKey,
        ...(algorithm === 'RS256' ? { signingAlgorithm: algorithm } : {}),
      })
      expect(await verifier.verify(await withKey.token(orders))).toMatchObject({ client_id: client.clientId })
      // Another assertion: this one counts once.
      expect(await withKey.token(orders, 'orders:write')).toMatch(/^ey/)
    }
  })

  test('that is refused says why, and which request to look for', async ({ database, startService }) => {
    const { url: issuer } = await startService()
    const { clientId, secret } = await registerClient(database)
    const failure = (clientSecret: string, audience: string, scope: string) =>
      createTokenSource({ issuer, clientId, clientSecret })
        .token(audience, scope)
        .catch((error: unknown) => error)
    expect(await failure(unknownSecret(), orders, 'orders:read')).toMatchObject({
      code: 'refused',
      error: 'invalid_client',
      status: 401,
      requestId: expect.stringMatching(/./),
    })
    expect(await failure(secret, orders, 'orders:all')).toMatchObject({ error: 'invalid_scope' })
    expect(await failure(secret, invoices, 'invoices:read')).toMatchObject({
      error: 'invalid_target',
      description: expect.stringMatching(/./),
    })
  })
})

test('a signed request is one that a relying service accepts, once', async ({ database, startService }) => {
  const { url: issuer } = await startService()
  const { clientId, secret: clientSecret } = await registerClient(database)
  const secret = Buffer.from('a secret that only this test has: 32 bytes')
  const keys = { keys: [{ kty: 'oct', kid: 'test', alg: 'HS256', k: secret.toString('base64url') }] }
  const verifier = createRequestVerifier({ keys })
  const outcomes: unknown[] = []
  const serve: RequestListener = async (request, response) => {
    const { method = '', url = '' } = request
    const signed = {
      method,
      url: `${origin}${url}`,
      headers: headersOf(request),
      body: await buffer(request),
    }
    for (const _again of [1, 2])
      outcomes.push(await verifier.verify(signed).catch(({ code }: { code: string }) => code))
    response.end()
  }
  const origin = `http://127.0.0.1:${await listen(createPlainServer(serve))}`
  const tokens = createTokenSource({ issuer, clientId, clientSecret })
  const fetchOrders = tokens.fetchFor(orders, 'orders:read', {
    origins: [origin],
    sign: { secret, keyId: 'test' },
  })
  for (const init of [
    {},
    { method: 'POST', body: '{"amount":7}', headers: { 'content-type': 'application/json' } },
  ])
    expect((await fetchOrders(`${origin}/orders?page=1`, init)).status).toBe(200)
  expect(outcomes).toEqual([{ keyid: 'test' }, 'request_replayed', { keyid: 'test' }, 'request_replayed'])
})

describe('over TLS, with the development CA', () => {
  test('the service is trusted by its CA, and by nothing else', async ({ database, startService }) => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    const service = await startService({
      environment: {
        MINTMARK_TLS_CERTIFICATE_FILE: authority.path('localhost/tls.crt'),
        MINTMARK_TLS_PRIVATE_KEY_FILE: authority.path('localhost/tls.key'),
      },
    })
    const issuer = service.url.replace('http:', 'https:')
    const { clientId, secret: clientSecret } = await registerClient(database)
    const caFile = authority.path('ca.crt')
    const options = { issuer, clientId, clientSecret, timeoutSeconds: 60 }
    expect(await createTokenSource({ ...options, caFile }).token(orders)).toMatch(/^ey/)
    const untrusted = createTokenSource(options).token(orders)
    await expect(untrusted).rejects.toMatchObject({ code: 'unreachable' })
  })

  test('a service that begins an answer and does not end it is given up in time', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    const pair = {
      cert: readFileSync(authority.path('localhost/tls.crt')),
      key: readFileSync(authority.path('localhost/tls.key')),
    }
    const server = createServer(pair, (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"access_token":')
    })
    onTestFinished(() => server.closeAllConnections())
    const issuer = `https://localhost:${await listen(server)}`
    const tokens = createTokenSource({
      issuer,
      tokenEndpoint: `${issuer}/token`,
      clientId: 'billing',
      clientSecret: 'secret',
      caFile: authority.path('ca.crt'),
      timeoutSeconds: 0.5,
    })
    await expect(tokens.token()).rejects.toMatchObject({ code: 'timeout' })
  })

  test('a certificate that was renewed is shown from the next request on, and never beside the wrong key', async ({
    database,
    startService,
  }) => {
    const { url: issuer } = await startService()
    const authority = await newAuthority()
    for (const request of [localhost, billing]) await issueCertificate(authority.context, request)
    const read = (name: string): Buffer => readFileSync(authority.path(name))
    const seen: string[] = []
    const server = createServer(
      {
        cert: read('localhost/tls.crt'),
        key: read('localhost/tls.key'),
        ca: read('ca.crt'),
        requestCert: true,
      },
      async (request, response) => {
        const { serialNumber, raw } = (request.socket as TLSSocket).getPeerCertificate()
        seen.push(serialNumber.toLowerCase())
        // Signed by the key of the certificate, which is named by its thumbprint.
        const jwk = new X509Certificate(raw).publicKey.export({ format: 'jwk' })
        const kid = await calculateJwkThumbprint(jwk as JWK)
        const verifier = createRequestVerifier({ keys: { keys: [{ ...jwk, kid, alg: 'ES256' }] } })
        const signed = { method: 'GET', url: `${origin}/`, headers: headersOf(request), body: '' }
        const outcome = verifier.verify(signed, { boundTo: kid })
        response.writeHead(await outcome.then(() => 204).catch(() => 400)).end()
      },
    )
    const origin: string = `https://localhost:${await listen(server)}`
    const { clientId, secret: clientSecret } = await registerClient(database)
    // Files that are written one after the other, not swapped.
    const files = { certificateFile: authority.path('copy.crt'), privateKeyFile: authority.path('copy.key') }
    const copy = (...kinds: readonly ('crt' | 'key')[]): void => {
      for (const kind of kinds) writeFileSync(authority.path(`copy.${kind}`), read(`billing/tls.${kind}`))
    }
    copy('crt', 'key')
    const tokens = createTokenSource({
      issuer,
      clientId,
      clientSecret,
      certificate: files,
      caFile: authority.path('ca.crt'),
    })
    const fetchOrders = tokens.fetchFor(orders, [], { origins: [origin], sign: true })
    const call = async (): Promise<string> => {
      expect((await fetchOrders(origin)).status).toBe(204)
      return seen.at(-1) ?? ''
    }
    const first = await call()
    const { serialNumber } = await renewCertificate(authority.context, 'billing', {
      days: undefined,
      withNewKey: true,
    })
    expect(await call()).toBe(first)
    copy('crt')
    expect(await call()).toBe(first)
    copy('key')
    expect(await call()).toBe(serialNumber)
  })
})

/** Clients that we did not write get tokens with a certificate. */
import { execFile, execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import https from 'node:https'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import * as openid from 'openid-client'
import { expect } from 'vitest'
import { listenMtls } from '../../src/http/mtls-listener.ts'
import { test } from '../support/fixtures.ts'
import { callerOf, mtlsSettings, registerCertificateClient } from '../support/mtls.ts'
import { freePort } from '../support/ports.ts'
import { orders } from '../support/service.ts'
import { general, makeCa, makeCertificate } from '../support/x509.ts'

const root = makeCa('O=Test,CN=Root')
const uri = 'spiffe://example.org/billing'
const own = makeCertificate(root, { subject: 'O=Test,CN=billing', names: [general.uri(uri)] })

/** `fetch` of Node with an agent: what its own has no option for. */
function fetchWith(agent: https.Agent): typeof fetch {
  return (input, init) =>
    new Promise((resolve, reject) => {
      const { method, headers, body } = init ?? {}
      const given = Object.fromEntries(new Headers(headers))
      const request = https.request(String(input), { method, headers: given, agent }, async (response) => {
        const chunks: Buffer[] = []
        for await (const chunk of response) chunks.push(chunk as Buffer)
        const answered = new Headers(
          Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
        )
        resolve(new Response(Buffer.concat(chunks), { status: response.statusCode ?? 0, headers: answered }))
      })
      request.on('error', reject).end(body === undefined ? undefined : String(body))
    })
}

test('openid-client finds the listener that asks, by the metadata', async ({ startService, database }) => {
  const port = await freePort()
  const running = await startService({
    environment: { ...mtlsSettings(root), MINTMARK_MTLS_PORT: String(port) },
  })
  if (running.service.app.mtlsServer === undefined) throw new Error('there is no second listener')
  await listenMtls(running.service.app.mtlsServer, '127.0.0.1', port)
  const { clientId } = await registerCertificateClient(database, { field: ['san_uri', uri], bound: true })
  const agent = new https.Agent({ ...callerOf(own), rejectUnauthorized: false })
  const customFetch = fetchWith(agent) as openid.CustomFetch
  const configuration = await openid.discovery(
    new URL(running.url.replace('http:', 'https:')),
    clientId,
    { use_mtls_endpoint_aliases: true, tls_client_certificate_bound_access_tokens: true },
    openid.TlsClientAuth(),
    { [openid.customFetch]: customFetch },
  )
  configuration[openid.customFetch] = customFetch
  const tokens = await openid.clientCredentialsGrant(configuration, { resource: orders })
  expect(decodeJwt(tokens.access_token)).toMatchObject({
    client_id: clientId,
    cnf: { 'x5t#S256': expect.any(String) },
  })
  // A proof names the URL of that listener. The token is bound to both.
  const DPoP = openid.getDPoPHandle(configuration, await openid.randomDPoPKeyPair('ES256'))
  const bound = await openid.clientCredentialsGrant(configuration, { resource: orders }, { DPoP })
  expect([bound.token_type, decodeJwt(bound.access_token)['cnf']]).toEqual([
    'dpop',
    { 'x5t#S256': expect.any(String), jkt: await DPoP.calculateThumbprint() },
  ])
  agent.destroy()
})

const hasCurl = ((): boolean => {
  try {
    execFileSync('curl', ['--version'])
    return true
  } catch {
    return false
  }
})()

test.skipIf(!hasCurl)(
  'curl (skipped where it is not installed)',
  async ({ startService, database, files }) => {
    const running = await startService({ environment: mtlsSettings(root) })
    const { clientId } = await registerCertificateClient(database, { field: ['san_uri', uri] })
    writeFileSync(files.path('own.crt'), own.pem)
    writeFileSync(files.path('own.key'), own.keyPem)
    const settings = mtlsSettings(root)
    writeFileSync(files.path('server.crt'), String(settings['MINTMARK_TLS_CERTIFICATE']))
    const { stdout } = await promisify(execFile)('curl', [
      '--silent',
      ...[
        '--cert',
        files.path('own.crt'),
        '--key',
        files.path('own.key'),
        '--cacert',
        files.path('server.crt'),
      ],
      `${running.url.replace('http:', 'https:')}/token`,
      ...['--data', 'grant_type=client_credentials', '--data', `client_id=${clientId}`],
      ...['--data-urlencode', `resource=${orders}`],
    ])
    expect(JSON.parse(stdout)).toMatchObject({ token_type: 'Bearer', expires_in: 300 })
  },
)

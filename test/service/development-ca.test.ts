/**
 * What the development CA issues serves on both sides: the service takes what was renewed and what was revoked without a
 * restart, and our client library proves itself with a certificate and follows its renewal.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import { expect } from 'vitest'
import { createTokenSource, type TokenError } from '../../packages/client/src/index.ts'
import { createVerifier } from '../../packages/verifier/src/index.ts'
import { command, succeeding } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { environmentOf, startServiceProcess } from '../support/process.ts'
import { orders, registerResources } from '../support/service.ts'

const uri = 'spiffe://example.org/ledger'

test('certificates are renewed and revoked under a service and a caller that go on', async ({
  database,
  files,
  run,
  track,
}) => {
  const ca = succeeding((...words) => command({ MINTMARK_DATA_DIR: files.path('data') }, 'ca', ...words))
  const path = (name: string): string => files.path(`data/ca/${name}`)
  await ca('init')
  await ca('issue', 'localhost', '--dns', 'localhost', '--ip', '127.0.0.1', '--server')
  await ca('issue', 'ledger', '--uri', uri, '--client')
  const thumbprint = (): string =>
    Buffer.from(
      new X509Certificate(readFileSync(path('ledger/tls.crt'))).fingerprint256.replaceAll(':', ''),
      'hex',
    ).toString('base64url')

  const service = track(
    await startServiceProcess(['serve'], {
      environment: environmentOf(database.url, {
        MINTMARK_TLS_CERTIFICATE_FILE: path('localhost/tls.crt'),
        MINTMARK_TLS_PRIVATE_KEY_FILE: path('localhost/tls.key'),
        MINTMARK_TLS_CLIENT_CA_FILE: path('ca.crt'),
        MINTMARK_TLS_CLIENT_CRL_FILE: path('ca.crl'),
      }),
    }),
  )
  const issuer = service.url.replace('http:', 'https:')
  await registerResources(database)
  const bound = ['--tls-client-certificate-bound-access-tokens', 'yes']
  const access = ['--access', `${orders}=orders:read`, '--auth-method', 'tls_client_auth']
  await succeeding(run)('clients', 'create', 'ledger', ...access, '--tls-client-auth-san-uri', uri, ...bound)
  const options = {
    issuer,
    clientId: 'ledger',
    certificate: { certificateFile: path('ledger/tls.crt'), privateKeyFile: path('ledger/tls.key') },
    caFile: path('ca.crt'),
  }
  const source = createTokenSource(options)
  /** One that nobody has yet. */
  const newToken = (): Promise<string> => createTokenSource(options).token(orders, 'orders:read')
  await service.until(() =>
    newToken()
      .then(() => true)
      .catch(() => false),
  )

  // The token is bound to the certificate, also to the one that replaces it.
  const keys = await jwksOf(issuer, path('ca.crt'))
  const verifier = createVerifier({ issuer, audience: orders, keys })
  const certificate = () => readFileSync(path('ledger/tls.crt'), 'utf8')
  for (const renewal of [[], ['renew', 'ledger'], ['renew', 'ledger', '--new-key']]) {
    if (renewal.length > 0) await ca(...renewal)
    const claims = await verifier.verify(await source.token(orders), { certificate: certificate() })
    expect(claims).toMatchObject({ client_id: 'ledger', cnf: { 'x5t#S256': thumbprint() } })
  }

  await ca('renew', 'localhost', '--new-key')
  const renewed = new X509Certificate(readFileSync(path('localhost/tls.crt'))).fingerprint256
  await service.until(async () => (await fingerprintOf(issuer)) === renewed)
  expect(await newToken()).toMatch(/^ey/)

  await ca('revoke', 'ledger')
  await service.until(async () => {
    const outcome = await newToken().catch((error: TokenError) => error)
    if (typeof outcome === 'string') return false
    expect(outcome).toMatchObject({ code: 'refused', error: 'invalid_client' })
    return true
  })
  await ca('issue', 'ledger', '--uri', uri, '--client')
  expect(await newToken()).toMatch(/^ey/)
})

/** The certificate of a new connection. */
function fingerprintOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: Number(new URL(url).port),
      rejectUnauthorized: false,
    })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    })
  })
}

async function jwksOf(issuer: string, caFile: string): Promise<unknown> {
  const { get } = await import('node:https')
  return await new Promise((resolve, reject) => {
    get(`${issuer}/.well-known/jwks.json`, { ca: readFileSync(caFile) }, async (response) => {
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk as Buffer)
      resolve(JSON.parse(Buffer.concat(chunks).toString()))
    }).once('error', reject)
  })
}

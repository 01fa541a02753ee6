/**
 * The examples in Python with certificates and no secret: the service binds each token to the certificate of its caller,
 * and requests are signed by the key of that certificate.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openPythonEnvironment } from '../../packages/python/test/environment.ts'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf, root, start, startServiceProcess } from '../support/process.ts'

const environment = openPythonEnvironment()
const examples = join(root, 'examples')

const names = { orders: 'orders-service', billing: 'billing-service', shop: 'shop', thief: 'thief' }

const isReady = `
import httpx, sys
from mintmark import ClientTls
with httpx.Client(verify=ClientTls(ca_file=sys.argv[2])) as client: client.get(sys.argv[1]).raise_for_status()
`

const shop = `
import json, sys
import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mintmark import ClientCertificate, ClientTls, DpopKey, TokenSource
from mintmark.signing import RequestSigner, SignedRequests
folder, issuer, orders = sys.argv[1:]
def tls(name): return ClientTls(f"{folder}/{name}/tls.crt", f"{folder}/{name}/tls.key", f"{folder}/ca.crt")
def signer(name): return RequestSigner(load_pem_private_key(open(f"{folder}/{name}/tls.key", "rb").read(), None))
tokens = TokenSource(issuer, ClientCertificate("shop"), tls=tls("shop"))
token = tokens.auth("https://orders.example.com")
outcomes = []
def call(name, method, certificate="shop", auth=token, **more):
    with httpx.Client(verify=tls(certificate), auth=auth) as client:
        answer = client.request(method, f"{orders}/orders", **more)
    outcomes.append([name, answer.status_code, answer.headers.get("www-authenticate", "")])
order = {"item": "tea", "amount": 7}
call("an order signed by the key of the certificate", "POST", auth=SignedRequests(signer("shop"), token), json=order)
call("the orders", "GET")
call("another client's certificate", "GET", certificate="thief")
call("an order signed by another key", "POST", auth=SignedRequests(signer("thief"), token), json=order)
key = DpopKey()
call("a token that is bound to a key as well", "GET", auth=TokenSource(
    issuer, ClientCertificate("shop"), tls=tls("shop"), dpop=key).auth("https://orders.example.com"))
print(json.dumps(outcomes))
`

describe.skipIf(typeof environment === 'string')('the examples in Python', () => {
  test('with tokens that are bound to certificates', async ({ database, run, track, files }) => {
    if (typeof environment === 'string') return
    const ca = files.path('ca')
    const ok = async (...words: readonly string[]): Promise<void> => {
      const outcome = await run(...words)
      expect(outcome.code, outcome.stderr).toBe(0)
    }
    await ok('ca', 'init', '--directory', ca)
    for (const name of ['mint', ...Object.keys(names)]) {
      const which = ['--dns', 'localhost', '--uri', `spiffe://example.org/${name}`]
      await ok('ca', 'issue', name, ...which, '--directory', ca)
    }
    const port = String(await freePort())
    const issuer = `https://localhost:${port}`
    const tls = {
      PORT: port,
      MINTMARK_ISSUER: issuer,
      MINTMARK_TLS_CERTIFICATE_FILE: join(ca, 'mint/tls.crt'),
      MINTMARK_TLS_PRIVATE_KEY_FILE: join(ca, 'mint/tls.key'),
      MINTMARK_TLS_CLIENT_CA_FILE: join(ca, 'ca.crt'),
    }
    const service = track(
      await startServiceProcess(['serve'], { environment: environmentOf(database.url, tls) }),
    )
    await service.until(
      () => environment.run('python', ['-c', isReady, `${issuer}/readyz`, join(ca, 'ca.crt')]).ok,
    )
    writeFileSync(files.path('clients.yaml'), withCertificates())
    await ok('seed', files.path('clients.yaml'))

    const [ordersPort, billingPort] = [await freePort(), await freePort()]
    const [orders, billing] = [`https://localhost:${ordersPort}`, `https://localhost:${billingPort}`]
    const serveExample = (name: 'orders' | 'billing', example: string, own: string, peer: string) => {
      writeFileSync(files.path(`${name}.json`), JSON.stringify({ client_id: names[name], certificate: true }))
      return track(
        start(environment.python, [join(examples, example, 'app.py')], {
          environment: {
            ...environment.environment,
            PORT: new URL(own).port,
            PUBLIC_URL: own,
            PEER_URL: peer,
            ISSUER: issuer,
            CLIENT_CREDENTIALS_FILE: files.path(`${name}.json`),
            TLS_CERTIFICATE_FILE: join(ca, name, 'tls.crt'),
            TLS_KEY_FILE: join(ca, name, 'tls.key'),
            TLS_CLIENT_CA_FILE: join(ca, 'ca.crt'),
            REQUIRE_BOUND_TOKENS: 'yes',
            SIGNED_REQUESTS: 'certificate',
            PYTHONDONTWRITEBYTECODE: '1',
          },
        }),
      )
    }
    const one = serveExample('orders', 'fastapi-orders', orders, billing)
    const other = serveExample('billing', 'django-billing', billing, orders)
    for (const [example, at] of [
      [one, ordersPort],
      [other, billingPort],
    ] as const)
      await example.until(() => environment.run('python', ['-c', isListening, String(at)]).ok)

    const called = environment.run('python', ['-c', shop, ca, issuer, orders])
    expect(called.ok, called.output + one.output() + other.output()).toBe(true)
    expect(JSON.parse(called.output)).toEqual([
      ['an order signed by the key of the certificate', 201, ''],
      ['the orders', 200, ''],
      ["another client's certificate", 401, expect.stringContaining('another certificate')],
      ['an order signed by another key', 401, expect.any(String)],
      ['a token that is bound to a key as well', 200, ''],
    ])
    await other.until(() => other.output().includes('/invoices orders-service accepted'))
  })
})

/** The clients of the examples, each with a certificate and nothing else. */
function withCertificates(): string {
  const text = readFileSync(join(examples, 'clients.yaml'), 'utf8')
  return Object.entries(names).reduce(
    (changed, [name, clientId]) =>
      changed.replace(
        `- client_id: ${clientId}\n`,
        `- client_id: ${clientId}
    token_endpoint_auth_method: tls_client_auth
    tls_client_auth_san_uri: spiffe://example.org/${name}
    tls_client_certificate_bound_access_tokens: true\n`,
      ),
    text,
  )
}

const isListening = 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()'

/** The examples in Python against the running service: they call each other, with certificates and signed requests. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openPythonEnvironment } from '../../packages/python/test/environment.ts'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { root, start } from '../support/process.ts'

const environment = openPythonEnvironment()
const examples = join(root, 'examples')

if (typeof environment === 'string') test(`NOT TESTED: examples in Python, because ${environment}`, () => {})

/** Certificates of one authority for the two services and their caller, by the helper of the package's tests. */
const makeCertificates = `
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from certificates import Authority
authority = Authority(Path(sys.argv[1]), "ca")
for name in ("orders", "billing", "shop"): authority.issue(name)
`

/** What the caller does, and what comes of it. */
const shop = `
import json, sys
import httpx
from mintmark import ClientTls, TokenSource, read_credential
from mintmark.signing import RequestSigner, SignedRequests
folder, issuer, orders, billing = sys.argv[1:]
tokens = TokenSource(issuer, read_credential(f"{folder}/secrets.json", "shop"))
ours = ClientTls(f"{folder}/shop.pem", f"{folder}/shop.key", f"{folder}/ca.pem")
token = tokens.auth("https://orders.example.com")
signed = SignedRequests(RequestSigner(open(f"{folder}/shared.key", "rb").read(), keyid="shared"), token)
outcomes = []
def call(name, method, url, tls=ours, auth=None, **more):
    try:
        with httpx.Client(verify=tls, auth=auth) as client:
            answer = client.request(method, url, **more)
        outcomes.append([name, answer.status_code, answer.json()])
    except httpx.TransportError as error:
        outcomes.append([name, "no connection", None])
order = {"item": "tea", "amount": 7}
call("a signed order", "POST", f"{orders}/orders", auth=signed, json=order)
call("the orders", "GET", f"{orders}/orders", auth=token)
call("not signed", "POST", f"{orders}/orders", auth=token, json=order)
call("no token", "GET", f"{orders}/orders")
call("a token for another audience", "GET", f"{billing}/invoices", auth=token)
call("a scope that the token lacks", "GET", f"{orders}/orders", auth=tokens.auth("https://orders.example.com", "orders:write"))
call("no certificate", "GET", f"{orders}/orders", tls=ClientTls(ca_file=f"{folder}/ca.pem"), auth=token)
print(json.dumps(outcomes))
`

describe.skipIf(typeof environment === 'string')('the examples in Python', () => {
  test('call each other over mutual TLS, and refuse what they should', async ({
    serve,
    run,
    track,
    files,
  }) => {
    if (typeof environment === 'string') return
    const service = await serve()
    const seeded = await run('seed', join(examples, 'clients.yaml'), '--json')
    expect(seeded.code, seeded.stderr).toBe(0)
    writeFileSync(files.path('secrets.json'), seeded.stdout)
    writeFileSync(files.path('shared.key'), randomBytes(32).toString('base64url'))
    // The billing service has a key and no secret at hand.
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pem = { publicKey: files.path('public.pem'), privateKey: files.path('private.pem') }
    writeFileSync(pem.publicKey, publicKey.export({ type: 'spki', format: 'pem' }))
    writeFileSync(pem.privateKey, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    const client = ['billing-service', pem.publicKey, '--kid', 'k']
    const update = ['clients', 'update', 'billing-service', '--auth-method', 'private_key_jwt']
    for (const words of [update, ['clients', 'keys', 'add', ...client]]) {
      const outcome = await run(...words)
      expect(outcome.code, outcome.stderr).toBe(0)
    }
    const billingCredentials = { client_id: 'billing-service', private_key_file: 'private.pem', kid: 'k' }
    writeFileSync(files.path('billing.json'), JSON.stringify(billingCredentials))
    const made = environment.run('python', ['-c', makeCertificates, files.path('')])
    expect(made.ok, made.output).toBe(true)

    const [ordersPort, billingPort] = [await freePort(), await freePort()]
    const [orders, billing] = [`https://localhost:${ordersPort}`, `https://localhost:${billingPort}`]
    const serveExample = (name: string, example: string, port: number, publicUrl: string, peerUrl: string) =>
      track(
        start(environment.python, [join(examples, example, 'app.py')], {
          environment: {
            ...environment.environment,
            PORT: String(port),
            PUBLIC_URL: publicUrl,
            PEER_URL: peerUrl,
            ISSUER: service.url,
            CLIENT_CREDENTIALS_FILE: files.path(name === 'billing' ? 'billing.json' : 'secrets.json'),
            TLS_CERTIFICATE_FILE: files.path(`${name}.pem`),
            TLS_KEY_FILE: files.path(`${name}.key`),
            TLS_CLIENT_CA_FILE: files.path('ca.pem'),
            SIGNED_REQUESTS: 'secret',
            SIGNING_SECRET_FILE: files.path('shared.key'),
            PYTHONDONTWRITEBYTECODE: '1',
          },
        }),
      )
    const [one, other] = [
      serveExample('orders', 'fastapi-orders', ordersPort, orders, billing),
      serveExample('billing', 'django-billing', billingPort, billing, orders),
    ]
    for (const [example, port] of [
      [one, ordersPort],
      [other, billingPort],
    ] as const)
      await example.until(async () => environment.run('python', ['-c', isListening, String(port)]).ok)

    const called = environment.run('python', ['-c', shop, files.path(''), service.url, orders, billing])
    expect(called.ok, called.output + one.output() + other.output()).toBe(true)
    const order = { number: 1, item: 'tea', amount: 7, by: 'shop', invoice: 1 }
    const refused = (error: string) => ({ detail: expect.objectContaining({ error }) })
    expect(JSON.parse(called.output)).toEqual([
      ['a signed order', 201, order],
      ['the orders', 200, [order]],
      ['not signed', 401, refused('request_signature_missing')],
      ['no token', 401, refused('token_missing')],
      ['a token for another audience', 401, expect.objectContaining({ error: 'invalid_token' })],
      ['a scope that the token lacks', 403, refused('insufficient_scope')],
      ['no certificate', 'no connection', null],
    ])
    await one.until(() => one.output().includes('/orders/1 billing-service accepted'))
    await other.until(() => other.output().includes('/invoices orders-service accepted'))
  })
})

const isListening = 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()'

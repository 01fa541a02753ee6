/** What the token command shows of a server that answers something else than a token. */
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { expect, test } from 'vitest'
import { certificate, privateKey } from '../support/certificate.ts'
import { commandWithInput } from '../support/command.ts'

const escapes = '\u001b]0;owned\u0007\u001b[2J\u202e\nmintmark: all is well'

test.each<[string, number, object]>([
  ['an error', 400, { error: `invalid_client${escapes}`, error_description: escapes }],
  ['a token that is none', 200, { access_token: `e30.e30.${escapes}`, expires_in: 60 }],
])('%s cannot write to the terminal', async (_, status, body) => {
  const server = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  const { code, stdout, stderr } = await ask(server, 'http')
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/^mintmark: [\x20-\x7e\ufffd]+\n$/)
})

test('a token that is no JWT is said to be none', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200).end(JSON.stringify({ access_token: 'v4.public.AAAA', expires_in: 60 }))
  })
  const { code, stderr } = await ask(server, 'http')
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^mintmark: .* no JWT\. .*\n$/)])
})

const tls = () =>
  createTlsServer({ cert: certificate, key: privateKey }, (_request, response) => response.end())

test.each([
  ['a certificate that nobody signed', tls, 'https', /nobody vouches for here: .*NODE_EXTRA_CA_CERTS/],
  ['TLS where there is none', () => createServer(), 'https', /speaks no TLS\. Write http:\/\//],
  ['no TLS where there is some', tls, 'http', /closed the connection .*write https:\/\//],
] as const)('%s is said as what it is', async (_title, create, scheme, expected) => {
  const { code, stderr } = await ask(create(), scheme)
  expect(code).toBe(1)
  expect(stderr).toMatch(expected)
  expect(stderr).not.toMatch(/does not answer|Start the service/)
})

async function ask(server: Server, scheme: 'http' | 'https') {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    return await commandWithInput({}, 'a secret', 'token', 'billing', '--url', url, '--secret-file', '-')
  } finally {
    server.close()
  }
}

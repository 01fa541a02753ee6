/** What the token command shows of a server that answers something else than a token. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { commandWithInput } from '../support/command.ts'

const escapes = '\u001b]0;owned\u0007\u001b[2J\u202e\nmintmark: all is well'

test.each<[string, number, object]>([
  ['an error', 400, { error: `invalid_client${escapes}`, error_description: escapes }],
  ['a token that is none', 200, { access_token: `e30.e30.${escapes}`, expires_in: 60 }],
])('%s cannot write to the terminal', async (_, status, body) => {
  const server = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const given = ['token', 'billing', '--url', url, '--secret-file', '-']
  const { code, stdout, stderr } = await commandWithInput({}, 'a secret', ...given)
  server.close()
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toMatch(/^mintmark: [\x20-\x7e\ufffd]+\n$/)
})

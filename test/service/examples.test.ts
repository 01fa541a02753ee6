/** The example with curl runs by its one command, and what it shows is right. The others are in test/peers. */
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { isAtHand } from '../support/openssl.ts'
import { root, start } from '../support/process.ts'
import { registerClient } from '../support/service.ts'

test.skipIf(!isAtHand('curl'))('examples/curl/run', async ({ database, files, service, track }) => {
  const { clientId, secret } = await registerClient(database)
  writeFileSync(files.path('secret'), `${secret}\n`)
  const environment = { ISSUER: service.url, CLIENT_ID: clientId, CLIENT_SECRET_FILE: files.path('secret') }
  const run = (more: Record<string, string> = {}) =>
    track(start(`${root}examples/curl/run`, [], { environment: { ...environment, ...more } })).outcome
  const { code, stdout, stderr } = await run()
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const shown = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  expect(shown).toMatchObject([
    { issuer: service.url },
    { alg: 'ES256', typ: 'at+jwt' },
    { iss: service.url, client_id: clientId, scope: 'orders:read' },
    { keys: [{ kty: 'EC' }] },
    { error: 'invalid_scope' },
  ])
  expect(stdout).not.toContain(secret)
  expect(await run({ CLIENT_ID: 'nobody' })).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('"error":"invalid_client"'),
  })
})

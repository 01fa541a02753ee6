/** Public keys as a file, for somebody who does not fetch them: the same as the service publishes, and never an unvouched one. */

import { randomBytes } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { expect } from 'vitest'
import { command } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { orders, registerClient, requestToken } from '../support/service.ts'

const key = randomBytes(32)
const withKey = { MINTMARK_KEY_ENCRYPTION_KEY: key.toString('base64') }

test('verifies the tokens of the service, is what the service publishes, and says how long it is good', async ({
  database,
  files,
  startService,
}) => {
  const service = await startService({ key })
  const client = await registerClient(database)
  const run = (environment: Record<string, string>, ...given: string[]) =>
    command({ DATABASE_URL: database.url, ...environment }, 'keys', ...given)
  await run(withKey, 'rotate')
  const path = files.path('jwks.json')
  const exported = await run(withKey, 'export', '--jwks', '--out', path, '--json')
  expect(exported, exported.stderr).toMatchObject({ code: 0 })

  const set = JSON.parse(readFileSync(path, 'utf8'))
  expect(statSync(path).mode & 0o777).toBe(0o644)
  const { access_token: token } = (await (await requestToken(service.url, client)).json()) as {
    access_token: string
  }
  await jwtVerify(token, createLocalJWKSet(set), { audience: orders })

  // The service has heard of the rotation with the token.
  expect(set).toEqual(await (await fetch(`${service.url}/.well-known/jwks.json`)).json())

  const told = JSON.parse(exported.stdout)
  expect(told.keys.map(({ state }: { state: string }) => state)).toEqual(['signing', 'published'])
  const listed = JSON.parse((await run({}, 'list', '--json')).stdout).keys
  expect(told.good_until).toBe(listed[1].signs_until)
  expect(exported.stderr).toMatch(
    /^2 keys in .*: \S+ \(ES256\) signs now\. \S+ \(ES256\) signs from .*\. Good until .*, unless/,
  )

  // On standard output, and of one algorithm.
  expect(JSON.parse((await run(withKey, 'export', '--jwks')).stdout)).toEqual(set)
  expect(await run(withKey, 'export', '--jwks', '--algorithm', 'EdDSA')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('nothing is published'),
  })

  // A row that nobody with the key-encryption key made is in no file, and without that key there is no file.
  await database.query(
    `INSERT INTO signing_key (kid, algorithm, generation, public_jwk, sealed_private_key, key_encryption_key_id,
       published_at, signs_from, signs_until, published_until)
     SELECT 'forged', algorithm, 99, public_jwk || '{"kid": "forged"}', sealed_private_key, key_encryption_key_id,
       published_at, signs_from, signs_until, published_until FROM signing_key WHERE generation = 1`,
  )
  const after = await run(withKey, 'export', '--jwks')
  expect(JSON.parse(after.stdout)).toEqual(set)
  expect(after.stderr).toContain('forged: this row was not made by a holder of the key-encryption key')
  expect(await run({}, 'export', '--jwks')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('cannot be verified'),
  })

  // A new set takes the place of an old one, and of nothing else.
  expect(await run(withKey, 'export', '--jwks', '--out', path)).toMatchObject({ code: 0, stdout: '' })
  // Nor of a set of private keys, such as a client keeps.
  for (const other of ['a private key', '{"keys": [{"kty": "EC", "d": "x"}]}', '{"keys": [{"k": "x"}]}']) {
    writeFileSync(path, other)
    expect(await run(withKey, 'export', '--jwks', '--out', path)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not a JWK Set of public keys'),
    })
    expect(readFileSync(path, 'utf8')).toBe(other)
  }
  for (const [out, says] of [
    [dirname(path), 'is a directory. Name a file in it'],
    [join(dirname(path), 'missing', 'jwks.json'), 'its directory does not exist; create it first'],
  ] as const)
    expect(await run(withKey, 'export', '--jwks', '--out', out)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(says),
    })
})

test.for([
  [['export'], 'write --jwks'],
  [['export', '--jwks', '--json'], 'only with --out'],
  [['export', '--jwks', '--algorithm', 'HS256'], 'must be one of ES256, EdDSA, PS256, RS256'],
] as const)('%j is refused', async ([given, says]) => {
  expect(await command({}, 'keys', ...given)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(says),
  })
})

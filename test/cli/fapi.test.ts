/** Clients that are held to the FAPI profile: what contradicts it is refused where it is registered, and says what to change. */
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { parseClient } from '../../src/administration/parse.ts'
import { mistakeSentence } from '../../src/cli/terminal/mistakes.ts'
import { makeKey } from '../support/assertion.ts'
import { succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'

const test = base.extend('ran', ({ run }) => succeeding(run))
const orders = 'https://orders.example.com'
const rsa = makeKey('PS256', 'rsa')
const held = {
  client_id: 'bank',
  fapi: true,
  token_endpoint_auth_method: 'private_key_jwt',
  dpop_bound_access_tokens: true,
}

describe('a client by itself', () => {
  const rs256 = { ...rsa.publicJwk, alg: 'RS256' }
  base.for<[title: string, changes: Readonly<Record<string, unknown>>, path: string, words: string]>([
    ['any method', { token_endpoint_auth_method: 'any' }, 'fapi', 'It is any now'],
    ['a secret', { token_endpoint_auth_method: 'client_secret_basic' }, 'fapi', 'It is client_secret_basic'],
    [
      'no method',
      { token_endpoint_auth_method: undefined },
      'fapi',
      'token_endpoint_auth_method: private_key_jwt, or',
    ],
    [
      'the token endpoint',
      { assertion_audience: 'token_endpoint' },
      'assertion_audience',
      'assertion_audience: issuer',
    ],
    [
      'tokens that are not bound',
      { dpop_bound_access_tokens: false },
      'fapi',
      'dpop_bound_access_tokens: true, or',
    ],
    [
      'a key for RS256',
      { jwks: { keys: [rsa.publicJwk, rs256] } },
      'jwks.keys.1',
      'an RSA key with alg: PS256',
    ],
  ])('%s', ([, changes, path, words]) => {
    const { mistakes } = parseClient({ ...held, ...changes })
    const told = mistakes.filter(({ code }) => code.startsWith('fapi_'))
    expect(told.map((mistake) => mistake.path.join('.'))).toEqual([path])
    expect(told.map(mistakeSentence).join()).toContain(words)
  })

  base.for([
    {},
    { token_endpoint_auth_method: 'federated_jwt' },
    { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [rsa.publicJwk] } },
    { dpop_bound_access_tokens: false, tls_client_certificate_bound_access_tokens: true },
  ])('fits: %j', (changes) => {
    expect(parseClient({ ...held, ...changes }).mistakes).toEqual([])
  })
})

test('what is registered already may not contradict it either', async ({ database, files, ran, run }) => {
  const refusal = async (...words: string[]): Promise<string> => {
    const { code, stderr } = await run(...words)
    expect(code).toBeGreaterThan(0)
    return stderr
  }
  await ran('resources', 'create', orders, '--scope', 'orders:read', '--signing-algorithm', 'RS256')
  await ran('clients', 'create', 'bank', '--access', `${orders}=orders:read`)
  const hold = ['clients', 'update', 'bank', '--fapi', 'yes']
  expect(await refusal(...hold)).toContain('--fapi: a client with --fapi yes has no secret')
  await ran('clients', 'update', 'bank', '--auth-method', 'private_key_jwt')
  expect(await refusal(...hold)).toContain('--fapi: a client with --fapi yes gets only tokens that are bound')
  await ran('clients', 'update', 'bank', '--dpop-bound-access-tokens', 'yes')
  expect(await refusal(...hold)).toContain(`--access: the tokens of ${orders} are signed with RS256`)
  await ran('resources', 'update', orders, '--signing-algorithm', 'PS256')
  expect(await refusal(...hold)).toContain('--fapi: has a valid secret')
  const { secrets } = JSON.parse(await ran('clients', 'secrets', 'list', 'bank', '--json'))
  await ran('clients', 'secrets', 'revoke', 'bank', secrets[0].secret_id)
  writeFileSync(files.path('rsa.json'), JSON.stringify({ ...rsa.publicJwk, kid: 'old', alg: 'RS256' }))
  await ran('clients', 'keys', 'add', 'bank', files.path('rsa.json'))
  expect(await refusal(...hold)).toContain(
    `--fapi: has keys for RS256, and --fapi yes does not allow them: ${rsa.thumbprint}`,
  )
  await ran('clients', 'keys', 'revoke', 'bank', 'old')
  const trust = [
    'trust',
    'add',
    'deploy',
    '--issuer',
    'https://idp.example.com',
    '--equals',
    'sub=job',
    '--client',
    'bank',
  ]
  await ran(...trust, '--assertion-audience', 'token_endpoint')
  expect(await refusal(...hold)).toContain('--fapi: the rule deploy gives its tokens for assertions')
  await ran('trust', 'remove', 'deploy')

  expect(await ran(...hold)).toBe('bank is changed: fapi: no → yes.\n')
  expect(await ran('clients', 'show', 'bank')).toMatch(/^fapi +yes$/m)
  for (const command of [['list'], ['show', 'bank']])
    expect(await ran('clients', ...command, '--json')).toMatch(/"fapi": ?true/)
  // What is not named stays as it is.
  expect(await ran('clients', 'update', 'bank', '--name', 'Bank')).toBe(
    'bank is changed: name: bank → Bank.\n',
  )

  // And from now on nothing may come that contradicts it.
  expect(await refusal('clients', 'secrets', 'add', 'bank')).toContain(
    'bank has fapi: true, so it has no secret.',
  )
  expect(await refusal('clients', 'secrets', 'rotate', 'bank', '--overlap', '1h')).toContain(
    'so it has no secret',
  )
  const other = makeKey('PS256')
  writeFileSync(files.path('other.json'), JSON.stringify({ ...other.publicJwk, alg: 'RS256' }))
  expect(await refusal('clients', 'keys', 'add', 'bank', files.path('other.json'))).toContain(
    `bank has fapi: true, and the key ${other.thumbprint} is for RS256.`,
  )
  expect(await refusal('clients', 'update', 'bank', '--dpop-bound-access-tokens', 'no')).toContain('--fapi: ')
  expect(await refusal('clients', 'update', 'bank', '--auth-method', 'any')).toContain('--fapi: ')
  expect(await refusal('clients', 'update', 'bank', '--assertion-audience', 'token_endpoint')).toContain(
    '--assertion-audience: the assertions of a client with --fapi yes name the issuer alone',
  )
  expect(await refusal('resources', 'update', orders, '--signing-algorithm', 'RS256')).toContain(
    'cannot be RS256: bank may call it, with --fapi yes',
  )
  expect(await refusal(...trust, '--assertion-audience', 'token_endpoint')).toContain(
    '--assertion-audience: must be issuer: "bank" has --fapi yes',
  )
  // Nor by hand.
  const byHand = database.query(`UPDATE client SET dpop_bound_access_tokens = false WHERE client_id = 'bank'`)
  await expect(byHand).rejects.toThrow('client_fapi_held')
})

test('a file says the same, a dry run writes nothing, and applied again it changes nothing', async ({
  files,
  ran,
  run,
}) => {
  const registration = {
    resources: [{ audience: orders, scopes: ['orders:read'] }],
    clients: [
      { ...held, jwks: { keys: [rsa.publicJwk] }, access: [{ audience: orders, scopes: ['orders:read'] }] },
    ],
  }
  const file = files.path('clients.json')
  writeFileSync(file, JSON.stringify(registration))
  await ran('seed', file, '--dry-run')
  expect((await run('clients', 'show', 'bank')).code).toBe(3)
  await ran('seed', file)
  expect(await ran('seed', file, '--json')).toMatch(/"status": ?"unchanged"/)
  const { client_id, ...without } = { ...registration.clients[0], fapi: false }
  writeFileSync(file, JSON.stringify({ clients: [{ client_id, ...without }] }))
  expect(await ran('seed', file, '--dry-run')).toContain('fapi: yes → no')
  // Both in one file.
  const rule = {
    rule: 'deploy',
    conditions: [{ claim: 'sub', equals: 'job' }],
    client_id: 'bank',
    assertion_audience: 'token_endpoint',
  }
  const trust = [{ issuer: 'https://idp.example.com', rules: [rule] }]
  writeFileSync(file, JSON.stringify({ ...registration, trust }))
  expect((await run('seed', file)).stderr).toContain(
    'trust[0].rules[0].assertion_audience: must be issuer: "bank"',
  )
  const rs256 = [{ audience: orders, scopes: ['orders:read'], signing_algorithm: 'RS256' }]
  writeFileSync(file, JSON.stringify({ ...registration, resources: rs256 }))
  const { stderr } = await run('seed', file)
  expect(stderr).toContain(
    'clients[0].access[0].audience: the tokens of https://orders.example.com are signed with RS256',
  )
})

/** Public keys of clients: registered by command and by file, in force at once, and never a private one. */
import { createPublicKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { assertionOf, makeKey, requestTokenWith, type TestKey } from '../support/assertion.ts'
import { succeeding } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'
import type { Scratch } from '../support/scratch.ts'
import { orders, patiently, registerResources, startService } from '../support/service.ts'

const test = sharedTest
  .extend('service', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    await registerResources(database)
    const service = await startService({ database })
    onCleanup(() => service.close())
    return service
  })
  .extend('ran', { scope: 'file' }, ({ run, service: _running }) => succeeding(run))
  .extend('status', { scope: 'file' }, ({ service }) => {
    return async (key: TestKey, clientId: string, audience = service.url): Promise<number> =>
      (await patiently(() => requestTokenWith(service.url, assertionOf(key, clientId, audience)))).status
  })

function written(files: Scratch, name: string, text: string): string {
  writeFileSync(files.path(name), text)
  return files.path(name)
}

const access = ['--access', `${orders}=orders:read`]
const pem = (key: TestKey, kind: 'public' | 'private'): string => {
  if (kind === 'private') return key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  return createPublicKey(key.privateKey).export({ format: 'pem', type: 'spki' }).toString()
}

describe('while the service runs', () => {
  test('a key in PKCS#1, as older tools write it, is the same key', async ({ ran, files }) => {
    await ran('clients', 'create', 'older', '--auth-method', 'private_key_jwt')
    const key = makeKey('PS256')
    const text = createPublicKey(key.privateKey).export({ format: 'pem', type: 'pkcs1' }).toString()
    expect(text).toContain('BEGIN RSA PUBLIC KEY')
    const file = written(files, 'older.pem', text)
    expect(await ran('clients', 'keys', 'add', 'older', file)).toContain(key.thumbprint)
  })

  test('a client with a key and no secret is created, and its key is replaced without a gap', async ({
    ran,
    run,
    files,
    status,
    database,
  }) => {
    const [first, second] = [makeKey('ES256', '2027-01'), makeKey('EdDSA')]
    const file = written(files, 'first.pem', pem(first, 'public'))
    const created = await run('clients', 'create', 'payroll', '--auth-method', 'private_key_jwt', ...access)
    expect(created.stdout).toBe('payroll is created. It authenticates with its keys.\n')
    expect(created.stderr).toContain('payroll has no key yet: bin/mintmark clients keys add payroll FILE')
    expect(await ran('clients', 'keys', 'add', 'payroll', file, '--kid', '2027-01')).toContain(
      first.thumbprint,
    )
    expect(await status(first, 'payroll')).toBe(200)

    const set = written(files, 'second.json', JSON.stringify({ keys: [second.publicJwk] }))
    const added = JSON.parse(
      await ran('clients', 'keys', 'add', 'payroll', set, '--expires-in', '90d', '--json'),
    )
    expect(added).toMatchObject({
      keys: [{ thumbprint: second.thumbprint, kid: null, alg: 'EdDSA' }],
      status: 'added',
    })
    expect([await status(first, 'payroll'), await status(second, 'payroll')]).toEqual([200, 200])

    expect(await ran('clients', 'keys', 'revoke', 'payroll', '2027-01')).toBe(
      `${first.thumbprint} is revoked.\n`,
    )
    expect([await status(first, 'payroll'), await status(second, 'payroll')]).toEqual([400, 200])
    expect(await ran('clients', 'keys', 'revoke', 'payroll', first.thumbprint)).toContain(
      'was already revoked',
    )
    expect(await ran('clients', 'keys', 'list', 'payroll')).toMatch(
      new RegExp(`${first.thumbprint} +2027-01 +ES256 +revoked [^]*${second.thumbprint} +EdDSA +valid `),
    )
    expect(await ran('clients', 'show', 'payroll')).toContain(second.thumbprint)
    const rows = await database.query(
      `SELECT outcome, credential_id FROM audit_record WHERE type = 'client_key' AND client_id = 'payroll'
        ORDER BY time, chain, seq`,
    )
    expect(rows).toEqual([
      { outcome: 'added', credential_id: first.thumbprint },
      { outcome: 'added', credential_id: second.thumbprint },
      { outcome: 'revoked', credential_id: first.thumbprint },
    ])
    expect(await database.query(`SELECT 1 FROM client_secret WHERE client_id = 'payroll'`)).toEqual([])
  })

  test('a client is created with its key, and deleted with it', async ({ ran, files, status }) => {
    const key = makeKey('RS256', 'rsa')
    const file = written(files, 'key.json', JSON.stringify({ ...key.publicJwk, kid: 'rsa', alg: 'RS256' }))
    await ran('clients', 'create', 'brief', '--auth-method', 'private_key_jwt', '--key', file, ...access)
    expect(await status(key, 'brief')).toBe(200)
    expect(await ran('clients', 'delete', 'brief', '--yes')).toContain('0 secrets and 1 key revoked')
    expect(await status(key, 'brief')).toBe(400)
  })

  test('a caller that names the token endpoint may, once somebody says so', async ({
    ran,
    files,
    status,
    service,
  }) => {
    const key = makeKey('ES256', 'k')
    const file = written(files, 'key.json', JSON.stringify({ ...key.publicJwk, kid: 'k' }))
    await ran('clients', 'create', 'late', '--auth-method', 'private_key_jwt', '--key', file, ...access)
    expect(await status(key, 'late', `${service.url}/token`)).toBe(400)
    expect(await ran('clients', 'update', 'late', '--assertion-audience', 'token_endpoint')).toContain(
      'assertion_audience: issuer → token_endpoint',
    )
    expect(await status(key, 'late', `${service.url}/token`)).toBe(200)
    await ran('clients', 'update', 'late', '--assertion-audience', 'issuer')
    expect(await status(key, 'late', `${service.url}/token`)).toBe(400)
  })
})

describe('refused', () => {
  test('a private key, of which nothing is printed', async ({ ran, run, files }) => {
    const key = makeKey('ES256')
    const jwk = key.privateKey.export({ format: 'jwk' })
    await ran('clients', 'create', 'careful', '--auth-method', 'private_key_jwt', ...access)
    const given = [
      written(files, 'private.pem', pem(key, 'private')),
      written(files, 'private.json', JSON.stringify(jwk)),
      written(files, 'set.json', JSON.stringify({ keys: [key.publicJwk, jwk] })),
    ]
    for (const file of given) {
      const { code, stdout, stderr } = await run('clients', 'keys', 'add', 'careful', file)
      expect(code, stderr).not.toBe(0)
      expect(stderr).toContain('private key')
      expect(stdout + stderr).not.toContain(jwk.d)
      expect(stdout + stderr).not.toContain(jwk.x)
    }
    expect(JSON.parse(await ran('clients', 'keys', 'list', 'careful', '--json'))).toEqual({
      client_id: 'careful',
      keys: [],
    })
  })

  test('what is no key, is there already, has a name that is taken, or is one too many', async ({
    ran,
    run,
    files,
  }) => {
    await ran('clients', 'create', 'strict', '--auth-method', 'private_key_jwt', ...access)
    const add = (text: string, ...more: string[]) =>
      run('clients', 'keys', 'add', 'strict', written(files, 'key', text), ...more)
    const jwk = (key: TestKey) => JSON.stringify(key.publicJwk)
    const key = makeKey('ES256')
    for (const text of [
      '',
      'x',
      '[]',
      '{"keys":[]}',
      '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----',
    ]) {
      expect((await add(text)).code).not.toBe(0)
    }
    expect((await add(jwk(makeKey('PS256', undefined, 1024)))).stderr).toContain('not of 2048 to 4096 bits')
    expect((await add(jwk(key), '--alg', 'RS256')).stderr).toContain('ES256 would')
    expect((await add(jwk(key), '--kid', 'a')).code).toBe(0)
    expect((await add(jwk(key), '--kid', 'b')).stderr).toContain('To change these, make a new key')
    expect((await add(jwk(makeKey('ES256')), '--kid', 'a')).stderr).toContain(
      'another valid key with the kid "a"',
    )
    expect((await run('clients', 'keys', 'revoke', 'strict', 'zzz')).stderr).toContain('has no key "zzz"')
    expect((await run('clients', 'keys', 'revoke', 'strict', 'zzz')).code).toBe(3)
    const many = { keys: Array.from({ length: 10 }, () => makeKey('EdDSA').publicJwk) }
    expect((await add(JSON.stringify(many))).stderr).toContain('has 1 valid keys, and 10 are the most')
    await ran('clients', 'keys', 'revoke', 'strict', 'a')
    expect((await add(jwk(key))).stderr).toContain('was revoked, which cannot be undone')
  })
})

describe('a seed file', () => {
  const registration = (keys: readonly unknown[] | undefined, more = {}): string =>
    JSON.stringify({
      clients: [
        {
          client_id: 'seeded',
          token_endpoint_auth_method: 'private_key_jwt',
          ...(keys === undefined ? {} : { jwks: { keys } }),
          ...more,
          access: [{ audience: orders, scopes: ['orders:read'] }],
        },
      ],
    })

  test('lists all keys: new ones are added, others revoked, and without a list they stay', async ({
    run,
    files,
    status,
  }) => {
    const [first, second] = [makeKey('ES256', 'one'), makeKey('PS256', 'two')]
    const jwk = (key: TestKey) => ({ ...key.publicJwk, kid: key.kid })
    const apply = async (text: string) => {
      const outcome = await run('seed', written(files, 'seed.json', text))
      expect(outcome, outcome.stderr).toMatchObject({ code: 0 })
      return outcome.stdout
    }
    expect(await apply(registration([jwk(first)]))).not.toContain('New secrets')
    expect(await status(first, 'seeded')).toBe(200)
    expect(await apply(registration([jwk(first), jwk(second)]))).toContain('key two added')
    expect([await status(first, 'seeded'), await status(second, 'seeded')]).toEqual([200, 200])
    expect(await apply(registration(undefined))).toContain('0 created, 0 changed, 1 unchanged')
    expect(await status(first, 'seeded')).toBe(200)
    expect(await apply(registration([jwk(second)]))).toContain('key one revoked')
    expect([await status(first, 'seeded'), await status(second, 'seeded')]).toEqual([400, 200])
    expect(await apply(registration([{ ...jwk(second), kid: '2' }]))).toContain('key 2 changed')
    expect(await status({ ...second, kid: '2' }, 'seeded')).toBe(200)
    const undone = await run('seed', written(files, 'seed.json', registration([jwk(first), jwk(second)])))
    expect(undone.code).not.toBe(0)
    expect(undone.stderr).toContain(`clients[0].jwks.keys[0]: the key ${first.thumbprint} was revoked`)
    const lacking = await apply(registration([]))
    expect(lacking).toContain('has no key: bin/mintmark clients keys add seeded FILE')
  })

  test('is refused with the place of each mistake, and without a word of a private key', async ({
    run,
    files,
  }) => {
    const [one, other] = [makeKey('ES256'), makeKey('ES256')]
    const secret = one.privateKey.export({ format: 'jwk' })
    const keys = [secret, { ...other.publicJwk, kid: 'a' }, { ...other.publicJwk, kid: 'a' }, { kty: 'RSA' }]
    const { code, stdout, stderr } = await run(
      'seed',
      written(files, 'seed.json', registration(keys, { assertion_audience: 'anybody' })),
    )
    expect(code).not.toBe(0)
    expect(stderr).toContain('clients[0].jwks.keys[0]: is a private key: it has "d"')
    expect(stderr).toContain('clients[0].jwks.keys[2]: "a" is already clients[0].jwks.keys[1]')
    expect(stderr).toContain('clients[0].jwks.keys[3]: lacks e')
    expect(stderr).toContain('"anybody" is not an audience of assertions; write issuer or token_endpoint')
    expect(stdout + stderr).not.toContain(secret.d)
  })
})

test('uses are counted, and how often the token endpoint was named', async ({ database, run, files }) => {
  const service = await startService({ database })
  const key = makeKey('ES256', 'k')
  const file = written(files, 'key.json', JSON.stringify({ ...key.publicJwk, kid: 'k' }))
  const options = ['--auth-method', 'private_key_jwt', '--assertion-audience', 'token_endpoint']
  expect((await run('clients', 'create', 'counted', ...options, '--key', file, ...access)).code).toBe(0)
  for (const audience of [service.url, `${service.url}/token`, `${service.url}/token`]) {
    const response = await patiently(() =>
      requestTokenWith(service.url, assertionOf(key, 'counted', audience)),
    )
    expect(response.status).toBe(200)
  }
  // What was noted is written when it closes.
  await service.close()
  const { keys } = JSON.parse((await run('clients', 'keys', 'list', 'counted', '--json')).stdout)
  expect(keys).toMatchObject([
    { token_endpoint_audience: { count: 2, last_at: expect.stringMatching(/^20/) } },
  ])
  expect(keys[0].last_used_at).toMatch(/^20/)
  const { clients } = JSON.parse((await run('clients', 'list', '--json')).stdout)
  const entry = clients.find((client: { client_id: string }) => client.client_id === 'counted')
  expect(entry).toMatchObject({ valid_keys: 1, token_endpoint_audience_count: 2 })
})

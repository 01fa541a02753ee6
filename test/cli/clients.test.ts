/**
 * What an operator does to a client is in force when the command returns, has a record that says who did it
 * and holds no secret, and can be said twice. What cannot be undone stays done.
 */
import { readFileSync, statSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { secretIdOf } from '../../src/authentication/secret.ts'
import { succeeding } from '../support/command.ts'
import { test as ownTest, sharedTest } from '../support/fixtures.ts'
import { orders, registerResources, requestTokenPatiently, startService } from '../support/service.ts'

const test = sharedTest
  .extend('service', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    await registerResources(database)
    const service = await startService({ database })
    onCleanup(() => service.close())
    return service
  })
  /** Runs a command that must succeed. */
  .extend('ran', { scope: 'file' }, ({ run, service: _running }) => succeeding(run))
  .extend('status', { scope: 'file' }, ({ service }) => {
    return async (clientId: string, secret: string): Promise<number> =>
      (await requestTokenPatiently(service.url, { clientId, secret })).status
  })

const secretIn = (text: string): string => /mm_[0-9A-Za-z]{57}/.exec(text)?.[0] ?? ''

describe('while the service runs', () => {
  test('a client is created, disabled and enabled, each at once', async ({ ran, status }) => {
    const secret = secretIn(await ran('clients', 'create', 'shop', '--access', `${orders}=orders:read`))
    expect(await status('shop', secret)).toBe(200)
    expect(await ran('clients', 'disable', 'shop')).toBe('shop is disabled.\n')
    expect(await status('shop', secret)).toBe(401)
    expect(JSON.parse(await ran('clients', 'disable', 'shop', '--json'))).toMatchObject({ changed: false })
    await ran('clients', 'enable', 'shop')
    expect(await status('shop', secret)).toBe(200)
  })

  test('a client may use any method unless one is named, and what is shown says so', async ({
    ran,
    service,
    status,
  }) => {
    const access = ['--access', `${orders}=orders:read`]
    const free = secretIn(await ran('clients', 'create', 'free', ...access))
    await ran('clients', 'create', 'pinned', '--auth-method', 'client_secret_post', ...access)
    expect(await ran('clients', 'show', 'free')).toMatch(/^token_endpoint_auth_method +any$/m)
    expect(JSON.parse(await ran('clients', 'show', 'free', '--json'))).toMatchObject({
      token_endpoint_auth_method: null,
    })
    expect(await ran('clients', 'list')).toMatch(/^free .* any .*\n(?:.*\n)*pinned .* client_secret_post /m)
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: 'free',
      client_secret: free,
    })
    expect((await fetch(`${service.url}/token`, { method: 'POST', body })).status).toBe(200)
    expect(await status('free', free)).toBe(200)
  })

  test('a client gets only bound tokens from the moment on that somebody says so', async ({
    ran,
    run,
    status,
  }) => {
    const secret = secretIn(await ran('clients', 'create', 'bound', '--access', `${orders}=orders:read`))
    expect(await status('bound', secret)).toBe(200)
    expect(await ran('clients', 'update', 'bound', '--dpop-bound-access-tokens', 'yes')).toContain(
      'dpop_bound_access_tokens: no → yes',
    )
    expect(await status('bound', secret)).toBe(400)
    expect(await ran('clients', 'show', 'bound')).toMatch(/^dpop_bound_access_tokens +yes$/m)
    for (const command of [['list'], ['show', 'bound']]) {
      const shown = await ran('clients', ...command, '--json')
      expect(shown).toMatch(/"dpop_bound_access_tokens": ?true/)
    }
    // What is not named stays as it is.
    await ran('clients', 'update', 'bound', '--name', 'Bound')
    expect(await status('bound', secret)).toBe(400)
    await ran('clients', 'update', 'bound', '--dpop-bound-access-tokens=no')
    expect(await status('bound', secret)).toBe(200)
    const wrong = await run('clients', 'create', 'x', '--dpop-bound-access-tokens', 'true')
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('must be yes or no') })
    await ran('clients', 'create', 'born', '--dpop-bound-access-tokens', 'yes')
    expect(JSON.parse(await ran('clients', 'show', 'born', '--json'))).toMatchObject({
      dpop_bound_access_tokens: true,
    })
  })

  test('an id with a colon works, and whoever creates it is told which libraries lose it', async ({
    run,
    status,
  }) => {
    const created = await run('clients', 'create', 'svc:billing', '--access', `${orders}=orders:read`)
    expect(created.stderr).toContain('svc:billing has a colon in its id.')
    expect(await status('svc:billing', secretIn(created.stdout))).toBe(200)
    const posted = await run('clients', 'create', 'svc:post', '--auth-method', 'client_secret_post')
    expect(posted.stderr).not.toContain('colon')
  })

  test('a secret is replaced without a gap', async ({ ran, run, status }) => {
    const first = secretIn(await ran('clients', 'create', 'rotating', '--access', `${orders}=orders:read`))
    const second: string = JSON.parse(
      await ran('clients', 'secrets', 'add', 'rotating', '--expires-in', '90d', '--json'),
    ).client_secret
    expect([await status('rotating', first), await status('rotating', second)]).toEqual([200, 200])
    await ran('clients', 'secrets', 'revoke', 'rotating', String(secretIdOf(first)))
    expect([await status('rotating', first), await status('rotating', second)]).toEqual([401, 200])
    const { secrets } = JSON.parse(await ran('clients', 'secrets', 'list', 'rotating', '--json'))
    expect(secrets).toMatchObject([
      { state: 'revoked' },
      { state: 'valid', hint: `mm_${secretIdOf(second)}…` },
    ])
    const outcome = await run('clients', 'secrets', 'revoke', 'rotating', `mm_${secretIdOf(second)}…`)
    expect(outcome.stderr).toContain('no valid secret left')
  })

  test('a token is fetched and shown', async ({ files, ran, run, service }) => {
    const path = files.path('tokens.secret')
    const access = ['--access', `${orders}=orders:read,orders:write`]
    const created = await ran('clients', 'create', 'tokens', ...access, '--secret-out', path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(created).not.toContain(readFileSync(path, 'utf8').trim())
    const given = ['token', 'tokens', '--secret-file', path, '--url', service.url]
    const shown = JSON.parse(await ran(...given, '--scope', 'orders:write', '--json'))
    expect(shown).toMatchObject({
      scope: 'orders:write',
      header: { typ: 'at+jwt' },
      claims: { sub: 'tokens' },
    })
    expect(await ran(...given, '--raw')).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    const refused = await run(...given, '--scope', 'nope')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('400 invalid_scope')
    const list = await ran('audit', 'list', '--client', 'tokens', '--outcome', 'refused')
    expect(list).toContain('scope_not_granted')
  })
})

describe('deletion', () => {
  test('revokes, removes, and keeps the id taken for ever', async ({ ran, run, status }) => {
    const secret = secretIn(await ran('clients', 'create', 'gone', '--access', `${orders}=orders:read`))
    expect(await ran('clients', 'delete', 'gone', '--yes')).toBe(
      'gone is deleted: 1 secret revoked, 1 grant removed.\n',
    )
    expect(await status('gone', secret)).toBe(401)
    expect(await ran('clients', 'delete', 'gone')).toBe('gone was already deleted.\n')
    const calls = [['create'], ['enable'], ['disable'], ['secrets', 'add']]
    for (const outcome of await Promise.all(calls.map((call) => run('clients', ...call, 'gone')))) {
      expect(outcome.code).toBe(1)
      expect(outcome.stderr).toMatch(/^mintmark: .*was deleted/)
    }
    expect(await ran('clients', 'list')).not.toContain('gone')
    expect(await ran('clients', 'list', '--status', 'deleted')).toContain('gone')
  })
})

describe('refusals', () => {
  test('what does not exist has an exit code of its own', async ({ ran, run }) => {
    await ran('clients', 'create', 'here')
    const calls = ['show', 'disable', 'enable', 'delete']
    for (const outcome of await Promise.all(calls.map((call) => run('clients', call, 'hera')))) {
      expect(outcome).toMatchObject({ code: 3, stdout: '' })
      expect(outcome.stderr).toContain('Did you mean "here"?')
    }
    expect(await run('clients', 'secrets', 'revoke', 'here', 'nope')).toMatchObject({ code: 3 })
    // The name looks like PostgreSQL's code for a lock that was not had in time.
    expect(await run('clients', 'disable', '55P03')).toMatchObject({ code: 3 })
  })

  test('a client is created once, and only with what its resources have', async ({ ran, run }) => {
    await ran('clients', 'create', 'twice')
    expect((await run('clients', 'create', 'twice')).stderr).toContain('already a client twice')
    const typo = await run('clients', 'create', 'typo', '--access', `${orders}=orders:raed`)
    expect(typo.stderr).toMatch(/^mintmark: --access: .*Did you mean "orders:read"\?/)
    expect(typo.code).toBe(1)
    expect((await run('clients', 'show', 'typo')).code).toBe(3)
  })

  test('a secret that the method of its client refuses is there with a word', async ({ run }) => {
    for (const [id, method] of [
      ['signs', 'private_key_jwt'],
      ['sends', 'client_secret_basic'],
      ['either', 'any'],
    ] as const) {
      await run('clients', 'create', id, '--auth-method', method)
      const { code, stderr } = await run('clients', 'secrets', 'add', id)
      const word = `${id} authenticates with ${method}, so a secret is refused. "bin/mintmark clients update ${id} --auth-method any"`
      expect({ code, told: stderr.includes(word) }).toEqual({ code: 0, told: id === 'signs' })
    }
  })

  test('no more than ten secrets are valid at once', async ({ database, ran, run }) => {
    await ran('clients', 'create', 'many')
    await database.query(
      `INSERT INTO client_secret (secret_id, client_id, hash, hint)
       SELECT 'filler' || n, 'many', '-', '-' FROM generate_series(2, 10) AS n`,
    )
    const outcome = await run('clients', 'secrets', 'add', 'many')
    expect(outcome.stderr).toContain('has 10 valid secrets')
  })

  ownTest(
    'a database that is not migrated, or is of a newer release, is told in one line',
    async ({ database, run }) => {
      await database.query(
        `UPDATE _prisma_migrations SET migration_name = '29990101000000_later'
          WHERE migration_name = (SELECT max(migration_name) FROM _prisma_migrations)`,
      )
      const newer = await run('clients', 'list')
      expect(newer.stderr).toMatch(/^mintmark: The database has the migration 29990101000000_later, .*\n$/)
      await database.query('DELETE FROM _prisma_migrations')
      const pending = await run('clients', 'list')
      expect(pending.stderr).toMatch(/^mintmark: .*Run "bin\/mintmark migrate"\.\n$/)
    },
  )
})

describe('records', () => {
  test('say who did what, and hold no secret and no hash', async ({ database, ran }) => {
    const secret = secretIn(await ran('clients', 'create', 'told', '--access', `${orders}=orders:read`))
    await ran('clients', 'disable', 'told')
    await ran('clients', 'disable', 'told')
    await ran('clients', 'enable', 'told')
    await ran('clients', 'secrets', 'revoke', 'told', String(secretIdOf(secret)))
    await ran('clients', 'delete', 'told', '--yes')
    const records: Record<string, unknown>[] = JSON.parse(
      await ran('audit', 'list', '--client', 'told', '--json'),
    )
    expect(records.map(({ type, outcome }) => `${type} ${outcome}`)).toEqual([
      'client created',
      'secret added',
      'access created',
      'client disabled',
      'client enabled',
      'secret revoked',
      'client deleted',
      'access deleted',
    ])
    for (const { detail } of records)
      expect(detail).toMatchObject({ by: expect.any(String), host: expect.any(String) })
    const text = JSON.stringify(await database.query('SELECT * FROM audit_record'))
    expect(text).not.toMatch(/argon2|mm_/)
    expect(text).not.toContain(secret.slice(11))
  })
})

test('lists of any length come in pages, in order, as a table and as one JSON document', async ({
  database,
  ran,
}) => {
  await database.query(`INSERT INTO client (client_id, name) SELECT 'page-' || lpad(n::text, 4, '0'), 'x' || chr(27)
    FROM generate_series(1, 1200) AS n`)
  const { clients } = JSON.parse(await ran('clients', 'list', '--json'))
  const ids = clients.map((client: { client_id: string }) => client.client_id)
  expect(ids.filter((id: string) => id.startsWith('page-'))).toHaveLength(1200)
  expect(ids).toEqual([...ids].sort())
  const table = await ran('clients', 'list')
  expect(table.match(/^CLIENT /gm)).toHaveLength(1)
  expect(table).not.toContain('\x1b')
})

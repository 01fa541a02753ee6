/**
 * What exists is changed from the command line, without a file: in force when the command returns, in one transaction
 * with its records, under the rules of a file.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { command } from '../support/command.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import type { Outcome } from '../support/process.ts'
import { orders, requestTokenPatiently, startService, type TestService } from '../support/service.ts'

let database: FreshDatabase
let service: TestService
let secret: string

const run = (...given: string[]): Promise<Outcome> => command({ DATABASE_URL: database.url }, ...given)

async function ran(...given: string[]): Promise<string> {
  const outcome = await run(...given)
  expect(outcome, outcome.stderr).toMatchObject({ code: 0 })
  return outcome.stdout
}

/** What a token for the resource says about its scopes, or the error. */
async function scopesOf(audience: string): Promise<string> {
  const response = await requestTokenPatiently(
    service.url,
    { clientId: 'billing', secret },
    { resource: audience },
  )
  const { scope = '', error } = (await response.json()) as { scope?: string; error?: string }
  return error ?? scope
}

/** The newest records about a change, without times. */
async function recorded(count: number): Promise<Record<string, unknown>[]> {
  const rows = await database.query<{ type: string; outcome: string; scope: string | null; detail: string }>(
    `SELECT type, outcome, scope, detail FROM audit_record WHERE type NOT IN ('token', 'service', 'key')
      ORDER BY time DESC, seq DESC LIMIT $1`,
    [count],
  )
  return rows.reverse().map(({ detail, ...row }) => ({ ...row, changes: JSON.parse(detail).changes }))
}

beforeAll(async () => {
  database = await freshDatabase()
  service = await startService({ database })
})
afterAll(async () => {
  await service.close()
  await database.drop()
})

describe('from nothing to a token, and back', () => {
  test('resources create', async () => {
    expect(
      await ran('resources', 'create', orders, '--scope', 'orders:read', '--scope', 'orders:write'),
    ).toBe(`${orders} is created.\n`)
    expect(await recorded(1)).toEqual([
      { type: 'resource', outcome: 'created', scope: null, changes: undefined },
    ])
    const again = await run('resources', 'create', orders)
    expect(again).toMatchObject({ code: 1 })
    expect(again.stderr).toContain(`There is already a resource ${orders}.`)
  })

  test('clients access grant adds scopes', async () => {
    const created = await ran('clients', 'create', 'billing', '--json')
    secret = JSON.parse(created).client_secret
    expect(await scopesOf(orders)).toBe('unauthorized_client')
    expect(await ran('clients', 'access', 'grant', 'billing', orders, 'orders:read')).toBe(
      `billing has access to ${orders} with orders:read.\n`,
    )
    expect(await scopesOf(orders)).toBe('orders:read')
    await ran('clients', 'access', 'grant', 'billing', orders, 'orders:write,orders:read')
    expect(await scopesOf(orders)).toBe('orders:read orders:write')
    expect(await recorded(1)).toEqual([
      {
        type: 'access',
        outcome: 'changed',
        scope: 'orders:read orders:write',
        changes: { scopes: { from: ['orders:read'], to: ['orders:read', 'orders:write'] } },
      },
    ])
    expect(await ran('clients', 'access', 'grant', 'billing', orders, 'orders:read')).toMatch(
      /^billing already had/,
    )
  })

  test('clients access remove takes scopes, then everything', async () => {
    const removed = await ran('clients', 'access', 'remove', 'billing', orders, 'orders:write', '--json')
    expect(JSON.parse(removed)).toEqual({
      client_id: 'billing',
      audience: orders,
      scopes: ['orders:read'],
      status: 'changed',
    })
    expect(await scopesOf(orders)).toBe('orders:read')
    const { stdout, stderr } = await run('clients', 'access', 'remove', 'billing', orders)
    expect(stdout).toBe(`billing has no access to ${orders}.\n`)
    expect(stderr).toBe('billing has no access to any resource, so it gets no tokens.\n')
    expect(await scopesOf(orders)).toBe('unauthorized_client')
    expect(await recorded(1)).toMatchObject([{ type: 'access', outcome: 'deleted' }])
    const mistyped = await run('clients', 'access', 'remove', 'billing', `${orders}x`)
    expect(mistyped).toMatchObject({ code: 3, stderr: expect.stringContaining('Did you mean') })
    const noScope = await run('clients', 'access', 'remove', 'billing', orders, 'orders:raed')
    expect(noScope.stderr).toContain(
      `${orders} has no scope "orders:raed". It has: orders:read orders:write.`,
    )
    expect(await ran('clients', 'access', 'remove', 'billing', orders)).toMatch(
      /^billing already had no access/,
    )
    await ran('clients', 'access', 'grant', 'billing', orders, 'orders:read')
  })

  test('resources update', async () => {
    const changed = await ran(
      'resources',
      'update',
      orders,
      '--token-lifetime',
      '60',
      '--add-scope',
      'orders:delete',
    )
    expect(changed).toContain('token_lifetime: 300 → 60')
    expect(await recorded(1)).toMatchObject([
      { type: 'resource', outcome: 'changed', changes: { token_lifetime: { from: 300, to: 60 } } },
    ])
    const held = await run('resources', 'update', orders, '--remove-scope', 'orders:read')
    expect(held).toMatchObject({ code: 1, stdout: '' })
    expect(held.stderr).toContain(
      '--remove-scope: "orders:read" may still be requested by 1 client (billing).',
    )
    expect(await ran('resources', 'update', orders, '--remove-scope', 'orders:delete')).toContain(
      'is changed',
    )
    expect(await ran('resources', 'update', orders, '--token-lifetime', '60')).toContain(
      'is like this already',
    )
    expect(await ran('resources', 'update', orders, '--token-typ', 'JWT')).toContain(
      'token_typ: at+jwt → JWT',
    )
    await ran('resources', 'update', orders, '--name', 'Orders')
    expect(await database.query('SELECT token_typ FROM resource')).toEqual([{ token_typ: 'JWT' }])
  })

  test('resources delete, only when no client has access', async () => {
    const held = await run('resources', 'delete', orders, '--yes')
    expect(held).toMatchObject({ code: 1 })
    expect(held.stderr).toContain('clients have access to it: billing. Nothing was changed.')
    await ran('clients', 'access', 'remove', 'billing', orders)
    // A rule that names it would give access again to what is created with the same audience.
    await ran(
      'trust',
      'add',
      'deploy',
      '--issuer',
      'https://ci.example',
      '--equals',
      'sub=1',
      '--access',
      `${orders}=`,
    )
    const given = await run('resources', 'delete', orders, '--yes')
    expect(given).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('rules give access to it: deploy.'),
    })
    expect(given.stderr).toContain('"bin/mintmark trust remove RULE"')
    await ran('trust', 'remove', '--issuer', 'https://ci.example')
    expect(await ran('resources', 'delete', orders, '--yes')).toBe(`${orders} is deleted.\n`)
    expect(await recorded(1)).toMatchObject([{ type: 'resource', outcome: 'deleted' }])
    expect(await run('resources', 'delete', orders)).toMatchObject({ code: 3 })
    expect(await run('resources', 'update', orders, '--name', 'x')).toMatchObject({ code: 3 })
    await ran('resources', 'create', orders, '--scope', 'orders:read')
    await ran('clients', 'access', 'grant', 'billing', orders, 'orders:read')
    expect(await scopesOf(orders)).toBe('orders:read')
  })

  test('clients update: what is not named stays', async () => {
    await ran('clients', 'update', 'billing', '--expires-at', '2099-01-31T00:00:00Z', '--name', 'Billing')
    await ran('clients', 'update', 'billing', '--allow-network', '192.0.2.0/24')
    expect(await recorded(1)).toEqual([
      {
        type: 'client',
        outcome: 'changed',
        scope: null,
        changes: { allowed_networks: { from: [], to: ['192.0.2.0/24'] } },
      },
    ])
    expect(JSON.parse(await ran('clients', 'show', 'billing', '--json'))).toMatchObject({
      name: 'Billing',
      allowed_networks: ['192.0.2.0/24'],
      expires_at: '2099-01-31T00:00:00Z',
      access: [{ audience: orders, scopes: ['orders:read'] }],
    })
    expect(await scopesOf(orders)).toBe('invalid_client')
    await ran('clients', 'update', 'billing', '--any-network', '--never-expires')
    expect(await scopesOf(orders)).toBe('orders:read')
    expect(await ran('clients', 'update', 'billing', '--any-network')).toContain('Nothing was changed.')
    await ran('clients', 'update', 'billing', '--auth-method', 'client_secret_post')
    expect(await scopesOf(orders)).toBe('invalid_client')
    expect(await ran('clients', 'update', 'billing', '--auth-method', 'any')).toContain(
      'token_endpoint_auth_method: client_secret_post → not set',
    )
    expect(await scopesOf(orders)).toBe('orders:read')
  })

  test('a client that is disabled stays disabled', async () => {
    await ran('clients', 'disable', 'billing')
    await ran('clients', 'update', 'billing', '--name', 'Bills')
    expect(JSON.parse(await ran('clients', 'show', 'billing', '--json'))).toMatchObject({
      status: 'disabled',
    })
  })
})

test('two changes at once both last', async () => {
  await ran('clients', 'create', 'busy')
  const audiences = ['urn:a:1', 'urn:a:2', 'urn:a:3']
  for (const audience of audiences) await ran('resources', 'create', audience, '--scope', 'read')
  await Promise.all(audiences.map((audience) => ran('clients', 'access', 'grant', 'busy', audience, 'read')))
  const { access } = JSON.parse(await ran('clients', 'show', 'busy', '--json')) as { access: unknown[] }
  expect(access).toHaveLength(3)
})

test.each([
  [2, ['clients', 'update', 'billing'], /say what to change/],
  [2, ['clients', 'update', 'billing', '--allow-network', '10.0.0.1/8'], /^mintmark: --allow-network: /],
  [
    2,
    ['clients', 'update', 'billing', '--any-network', '--allow-network', '10.0.0.0/8'],
    /--any-network: not with/,
  ],
  [2, ['clients', 'update', 'billing', '--auth-method', 'none'], /^mintmark: --auth-method: "none"/],
  [3, ['clients', 'update', 'billng', '--name', 'x'], /Did you mean "billing"\?/],
  [3, ['clients', 'access', 'grant', 'nobody', orders], /There is no client "nobody"/],
  [
    1,
    ['clients', 'access', 'grant', 'billing', 'urn:none', 'a'],
    /^mintmark: AUDIENCE: there is no resource/,
  ],
  [
    1,
    ['clients', 'access', 'grant', 'billing', orders, 'orders:reed'],
    /^mintmark: SCOPES: .*Did you mean "orders:read"/,
  ],
  [2, ['clients', 'access', 'grant', 'billing'], /needs AUDIENCE.*Usage: .*CLIENT AUDIENCE \[SCOPES\]/],
  [
    2,
    ['clients', 'update', 'billing', '--expires-at', '2020-01-31T00:00:00Z'],
    /--expires-at: .* is in the past/,
  ],
  [
    2,
    ['clients', 'create', 'late', '--expires-at', '2020-01-31T00:00:00Z'],
    /--expires-at: .* is in the past/,
  ],
  [2, ['clients', 'secrets', 'add', 'billing', '--expires-at', '2020-01-31T00:00:00Z'], /is in the past/],
  [
    2,
    ['resources', 'create', 'urn:y', '--token-typ', 'jwt'],
    /^mintmark: --token-typ: "jwt".*Did you mean "JWT"/,
  ],
  [2, ['token', 'billing', '--raw', '--json'], /^mintmark: --raw: not with --json/],
  [2, ['token', 'billing', '--url', 'http://127.0.0.1:99999'], /^mintmark: --url: there is no port 99999/],
  [2, ['resources', 'create', 'orders#1'], /^mintmark: AUDIENCE: /],
  [2, ['resources', 'create', 'urn:x', '--token-lifetime', '1h'], /^mintmark: --token-lifetime: /],
  [1, ['resources', 'update', orders, '--token-lifetime', '999999'], /^mintmark: --token-lifetime: /],
  [
    1,
    ['resources', 'update', orders, '--remove-scope', 'x'],
    /^mintmark: --remove-scope: .* has no scope "x"/,
  ],
] as const)('%i: %j', async (code, given, message) => {
  const outcome = await run(...given)
  expect(outcome).toMatchObject({ code, stdout: '' })
  expect(outcome.stderr).toMatch(message)
})

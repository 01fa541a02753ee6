/** What the roles of the service and of operators can do, and what a role can do that may only connect. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { expect } from 'vitest'
import { checkConnection } from '../../src/database/check.ts'
import { migrate } from '../../src/database/migrate.ts'
import { grantRoles } from '../../src/database/roles.ts'
import { command } from '../support/command.ts'
import { administer, type FreshDatabase, freshDatabase } from '../support/database.ts'
import { sharedTest } from '../support/fixtures.ts'
import { environmentOf } from '../support/process.ts'
import { kidIn, kidsOf } from '../support/rotation.ts'
import {
  orders,
  registerClient,
  requestToken,
  requestTokenPatiently,
  startService,
  type TestService,
  testKey,
} from '../support/service.ts'

interface RolesOfTest {
  readonly service: string
  readonly operator: string
  readonly stranger: string
}

const test = sharedTest
  .extend(
    'roles',
    { scope: 'file' },
    async ({ database, serverUrl }, { onCleanup }): Promise<RolesOfTest> => {
      const id = randomBytes(4).toString('hex')
      const roles = { service: `service_${id}`, operator: `operator_${id}`, stranger: `stranger_${id}` }
      for (const role of Object.values(roles)) await administer(serverUrl, `CREATE ROLE ${role} LOGIN`)
      onCleanup(async () => {
        for (const role of Object.values(roles)) {
          await database.query(`DROP OWNED BY ${role}`)
          await administer(serverUrl, `DROP ROLE ${role}`)
        }
      })
      const { code, stderr } = await command(
        { DATABASE_URL: database.url },
        ...['migrate', '--service-role', roles.service, '--operator-role', roles.operator],
      )
      expect(stderr).toBe('')
      expect(code).toBe(0)
      return roles
    },
  )
  .extend('running', { scope: 'file' }, async ({ database, roles }, { onCleanup }): Promise<TestService> => {
    const url = as(roles.service, database)
    await checkConnection(url, 'rights')
    const running = await startService({ database: { ...database, url } })
    onCleanup(() => running.close())
    return running
  })

function as(role: string, { url }: Pick<FreshDatabase, 'url'>): string {
  const changed = new URL(url)
  changed.username = role
  return changed.href
}

test('the command that grants needs the owner of the tables, and two roles', async ({ database, roles }) => {
  const migrate = (role: string | undefined, service: string, operator: string) =>
    command(
      { DATABASE_URL: role === undefined ? database.url : as(role, database) },
      ...['migrate', '--service-role', service, '--operator-role', operator],
    )
  for (const role of [roles.service, roles.operator]) {
    const refused = await migrate(role, roles.service, roles.operator)
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(
        /^mintmark: DATABASE_URL: the role \w+ can grant nothing, because \w+ owns the tables\./,
      ),
    ])
  }
  const same = await migrate(undefined, roles.service, roles.service)
  expect([same.code, same.stderr]).toEqual([2, expect.stringContaining('is the role of --service-role too')])
  const stranger = await command({ DATABASE_URL: as(roles.stranger, database) }, 'migrate', '--status')
  expect(stranger.code).toBe(1)
  expect(stranger.stderr).not.toContain('role of the operator')
})

test('the service issues and rotates with its role alone, and operators do the rest with theirs', async ({
  database,
  roles,
  running,
  files,
}) => {
  const key = { MINTMARK_KEY_ENCRYPTION_KEY: testKey.toString('base64') }
  const environment = environmentOf(as(roles.operator, database), key)
  const run = async (...given: string[]): Promise<string> => {
    const { code, stdout, stderr } = await command(environment, ...given)
    expect(code, stderr).toBe(0)
    return stdout
  }
  await run('resources', 'create', orders, '--scope', 'orders:read')
  const secretFile = files.path('secret')
  await run('clients', 'create', 'billing', '--access', `${orders}=orders:read`, '--secret-out', secretFile)
  const { readFileSync } = await import('node:fs')
  const secret = readFileSync(secretFile, 'utf8').trim()
  const client = { clientId: 'billing', secret, secretId: secret.slice(3, 11) }
  expect((await requestTokenPatiently(running.url, client)).status).toBe(200)
  await run('clients', 'secrets', 'add', 'billing', '--secret-out', files.path('second'))
  expect((await requestTokenPatiently(running.url, client)).status).toBe(200)
  await run('clients', 'secrets', 'revoke', 'billing', client.secretId)
  expect((await requestTokenPatiently(running.url, client)).status).toBe(401)
  await run('keys', 'rotate', '--now')
  const [{ kid = '' } = {}] = (await database.query('SELECT kid FROM signing_key LIMIT 1')) as {
    kid?: string
  }[]
  await run('keys', 'revoke', kid, '--yes')
  await run('clients', 'access', 'remove', 'billing', orders)
  await run('clients', 'delete', 'billing', '--yes')
  await run('resources', 'delete', orders, '--yes')
})

test('with its role alone the service lets the next key take over from one that was revoked without the key-encryption key', async ({
  database,
  roles,
  running,
}) => {
  const operator = as(roles.operator, database)
  const key = { MINTMARK_KEY_ENCRYPTION_KEY: testKey.toString('base64') }
  const client = await registerClient(database)
  const kidNow = async (): Promise<string> => {
    const response = await requestTokenPatiently(running.url, client)
    const { access_token: token } = (await response.json()) as { access_token?: string }
    return token === undefined ? `${response.status}` : String(kidIn(token))
  }
  await command(environmentOf(operator, key), 'keys', 'rotate')
  const before = await kidNow()
  const waiting = (await kidsOf(running.url)).at(-1)
  expect(waiting).not.toBe(before)
  const { code, stderr } = await command(environmentOf(operator), 'keys', 'revoke', before, '--yes')
  expect(code, stderr).toBe(0)
  await expect.poll(kidNow, { interval: 100 }).toBe(String(waiting))
  expect(running.log()).not.toContain('permission denied')
})

test('neither of them can change what the ledger says, nor the service who is registered', async ({
  database,
  roles,
}) => {
  const both = [
    "UPDATE audit_record SET outcome = 'issued'",
    'DELETE FROM audit_record',
    'TRUNCATE audit_record',
    "UPDATE audit_chain SET genesis = '\\x00'",
    'DELETE FROM audit_chain',
    'ALTER TABLE client DISABLE TRIGGER ALL',
    'CREATE TABLE mine (n int)',
    'CREATE TEMPORARY TABLE client (n int)',
    'DROP FUNCTION ledger_append',
  ]
  const service = [
    "UPDATE client SET status = 'active'",
    "INSERT INTO client_secret (secret_id, client_id, hash, hint) VALUES ('a', 'b', 'c', 'd')",
    'UPDATE signing_key SET revoked_at = NULL',
  ]
  for (const [role, statements] of [
    [roles.service, [...both, ...service]],
    [roles.operator, both],
  ] as const) {
    for (const statement of statements)
      await expect(administer(as(role, database), statement), `${role}: ${statement}`).rejects.toThrow(
        /permission denied|must be owner/,
      )
  }
})

test('no other role can connect', async ({ database, roles }) => {
  await expect(administer(as(roles.stranger, database), 'SELECT 1')).rejects.toThrow(
    /permission denied for database/,
  )
})

test('a role that may only connect keeps nobody waiting', async ({ database, roles, running }) => {
  const client = await registerClient(database)
  await database.query(
    `GRANT CONNECT ON DATABASE ${new URL(database.url).pathname.slice(1)} TO ${roles.stranger}`,
  )
  const stranger = new pg.Client({ connectionString: as(roles.stranger, database) })
  await stranger.connect()
  try {
    // Those that these locks had before.
    for (const number of [1, 2, 3]) await stranger.query('SELECT pg_advisory_lock(1296649043, $1)', [number])
    for (const table of ['registry_version', 'registry_change_set', 'client', 'audit_record'])
      await expect(
        stranger.query(`ROLLBACK; BEGIN; LOCK TABLE ${table} IN ACCESS SHARE MODE`),
      ).rejects.toThrow(/permission denied/)
    expect((await requestTokenPatiently(running.url, client)).status).toBe(200)
    await database.query(`UPDATE client SET name = 'x' WHERE client_id = '${client.clientId}'`)
    const { code } = await command(
      environmentOf(as(roles.operator, database)),
      'clients',
      'disable',
      client.clientId,
    )
    expect(code).toBe(0)
    expect((await requestTokenPatiently(running.url, client)).status).toBe(401)
  } finally {
    await stranger.end()
  }
})

test('no function of ours takes a lock that any role can take', async ({ database }) => {
  const functions = await database.query(
    `SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
      WHERE nspname = 'public' AND prosrc LIKE '%advisory%'`,
  )
  expect(functions).toEqual([])
})

test('a change that is published and not committed is named, and ended by the server', async ({
  database,
  running,
}) => {
  const client = await registerClient(database)
  expect((await requestTokenPatiently(running.url, client)).status).toBe(200)
  const session = new pg.Client({ connectionString: database.url, application_name: 'somebody' })
  session.on('error', () => {})
  await session.connect()
  await session.query('BEGIN; SET CONSTRAINTS ALL IMMEDIATE')
  await session.query("UPDATE client SET name = 'y' WHERE client_id = $1", [client.clientId])
  // The session is silent, and its transaction is over a second later, whatever the client does.
  await expect.poll(async () => (await requestTokenPatiently(running.url, client)).status).toBe(200)
  await session.end().catch(() => {})

  // One that is busy is not ended. The log says which it is.
  const busy = new pg.Client({ connectionString: database.url, application_name: 'somebody' })
  busy.on('error', () => {})
  await busy.connect()
  const {
    rows: [{ pid = 0 } = {}],
  } = await busy.query<{ pid?: number }>('SELECT pg_backend_pid() AS pid')
  await busy.query('BEGIN; SET CONSTRAINTS ALL IMMEDIATE')
  // In one message, because a session that is silent for a second after its change is ended.
  const sleeping = busy
    .query(`UPDATE client SET name = 'z' WHERE client_id = '${client.clientId}'; SELECT pg_sleep(1000)`)
    .catch(() => {})
  const event = 'SELECT wait_event FROM pg_stat_activity WHERE pid = $1'
  await expect.poll(() => database.query(event, [pid])).toEqual([{ wait_event: 'PgSleep' }])
  expect((await requestToken(running.url, client)).status).toBe(503)
  await expect.poll(() => running.log()).toContain(`pg_terminate_backend(${pid})`)
  await database.query('SELECT pg_terminate_backend($1)', [pid])
  await sleeping
  await expect.poll(async () => (await requestTokenPatiently(running.url, client)).status).toBe(200)
  await busy.end().catch(() => {})
})

test('a role that does not exist, or has every right anyway, is refused', async ({ serverUrl, roles }) => {
  const other = await freshDatabase()
  try {
    await migrate(other.url)
    const said = (role: string) =>
      grantRoles(other.url, { service: role, operator: undefined }).catch((error: Error) => error.message)
    expect(await said('nobody_of_that_name')).toMatch(/There is no role nobody_of_that_name .* CREATE ROLE/)
    const [owner = ''] = new URL(serverUrl).username.split(':')
    expect(await said(owner)).toMatch(/can change records of the ledger .*UPDATE, DELETE, TRUNCATE/)
    expect(await said(roles.service)).toEqual([])
  } finally {
    await other.query(`DROP OWNED BY ${roles.service}`)
    await other.drop()
  }
})

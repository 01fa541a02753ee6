/** Whoever changes the registry or the keys with SQL leaves a record: who, from where, and what changed, without secrets. */
import pg from 'pg'
import { describe, expect } from 'vitest'
import { openDatabase } from '../../src/database/open.ts'
import { revokeKey } from '../../src/keys/revocation.ts'
import { rotate } from '../../src/keys/rotation.ts'
import { settleHandChanges } from '../../src/ledger/hand-changes.ts'
import { succeeding } from '../support/command.ts'
import type { FreshDatabase } from '../support/database.ts'
import { test } from '../support/rotation.ts'
import { orders, registerClient, registerResources } from '../support/service.ts'

interface Row {
  readonly type: string
  readonly client_id: string | null
  readonly credential_id: string | null
  readonly audience: string | null
  readonly kid: string | null
  readonly detail: Record<string, unknown>
}

/** Makes records of what was noted. */
async function settled(database: FreshDatabase): Promise<Row[]> {
  const opened = openDatabase(database.url)
  await settleHandChanges(opened.statements)
  await opened.close()
  const rows = await database.query<Row & { detail: string }>(
    `SELECT type, client_id, credential_id, audience, kid, detail FROM audit_record
      WHERE outcome = 'changed by hand' ORDER BY chain, seq`,
  )
  return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, unknown> }))
}

/** Records from here on. */
async function forget(database: FreshDatabase): Promise<void> {
  await database.query('TRUNCATE registry_unrecorded_change')
}

const noted = (database: FreshDatabase) =>
  database.query<{ subject: string }>('SELECT subject FROM registry_unrecorded_change ORDER BY change_id')

describe('by hand', () => {
  const statements: readonly (readonly [
    statement: string,
    expected: Partial<Row>,
    operation: string,
    changes: object,
  ])[] = [
    [
      `UPDATE client SET status = 'disabled' WHERE client_id = 'billing'`,
      { type: 'client', client_id: 'billing' },
      'UPDATE',
      { status: { from: 'active', to: 'disabled' } },
    ],
    [
      `INSERT INTO access (client_id, audience, scopes) VALUES ('billing', 'urn:other', '{a}')`,
      { type: 'access', client_id: 'billing', audience: 'urn:other' },
      'INSERT',
      { scopes: { from: null, to: ['a'] } },
    ],
    [
      `DELETE FROM access WHERE client_id = 'billing'`,
      { type: 'access', client_id: 'billing', audience: orders },
      'DELETE',
      { scopes: { from: ['orders:read', 'orders:write'], to: null } },
    ],
    [
      `UPDATE resource SET token_lifetime_seconds = 86400 WHERE audience = '${orders}'`,
      { type: 'resource', audience: orders },
      'UPDATE',
      { token_lifetime_seconds: { from: 300, to: 86400 } },
    ],
    [
      `UPDATE client_secret SET hash = 'one of my own' WHERE client_id = 'billing'`,
      { type: 'secret', client_id: 'billing' },
      'UPDATE',
      { hash: 'not shown' },
    ],
    ['TRUNCATE access', { type: 'access' }, 'TRUNCATE', {}],
    [`UPDATE signing_key_manifest SET number = 7`, { type: 'key' }, 'UPDATE', { number: { from: 1, to: 7 } }],
    [
      `UPDATE client SET expires_at = 'infinity' WHERE client_id = 'billing'`,
      { type: 'client', client_id: 'billing' },
      'UPDATE',
      { expires_at: { from: null, to: 'infinity' } },
    ],
  ]

  for (const [statement, expected, operation, changes] of statements) {
    test(statement, async ({ database: own }) => {
      await registerClient(own, { clientId: 'billing' })
      await own.query(`INSERT INTO resource (audience, name, scopes) VALUES ('urn:other', 'Other', '{a}')`)
      await own.query(`INSERT INTO signing_key_manifest VALUES (true, 1, 'x', 'content', 'mac')`)
      await forget(own)
      await own.query(statement)
      const [row, ...more] = await settled(own)
      expect(more).toEqual([])
      expect(row).toMatchObject(expected)
      expect(row?.detail).toMatchObject({ operation, changes })
      expect(JSON.stringify(row)).not.toMatch(/one of my own|argon2/)
      expect(await noted(own)).toEqual([])
    })
  }

  test('names the login, the role, the application; a role that may change one column needs no more', async ({
    database,
  }) => {
    await registerClient(database, { clientId: 'billing' })
    await forget(database)
    const role = `clerk_${Math.floor(Math.random() * 1e9)}`
    await database.query(`CREATE ROLE ${role}; GRANT UPDATE (name), SELECT ON client TO ${role}`)
    // What the version needs of a role (the first migration).
    await database.query(
      `GRANT INSERT, SELECT, UPDATE, DELETE ON registry_change, registry_change_set, registry_version TO ${role}`,
    )
    await database.query(`GRANT USAGE ON SEQUENCE registry_change_set_set_id_seq TO ${role}`)
    const client = new pg.Client({ connectionString: database.url, application_name: 'psql' })
    await client.connect()
    try {
      await client.query(`SET ROLE ${role}`)
      await client.query(`UPDATE client SET name = 'Mine' WHERE client_id = 'billing'`)
      await expect(client.query('DELETE FROM registry_unrecorded_change')).rejects.toThrow(
        'permission denied',
      )
    } finally {
      await client.end()
    }
    const [{ current_user: login } = {}] = await database.query<{ current_user: string }>(
      'SELECT current_user',
    )
    expect((await settled(database))[0]?.detail).toMatchObject({ by: login, role, application: 'psql' })
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  })

  test('every row of a statement and of COPY has a record, and long values are cut', async ({ database }) => {
    await database.query(
      `INSERT INTO client (client_id, name) SELECT 'many-' || n, repeat('x', 100000) FROM generate_series(1, 1200) n`,
    )
    const rows = await settled(database)
    expect(rows).toHaveLength(1_200)
    expect(JSON.stringify(rows[0]).length).toBeLessThan(2_000)
  })

  test('several processes that look at once record each change once, and audit list shows it', async ({
    database,
    run,
  }) => {
    await database.query(`INSERT INTO client (client_id, name) VALUES ('ghost', 'Ghost')`)
    const opened = openDatabase(database.url)
    await Promise.all(Array.from({ length: 8 }, () => settleHandChanges(opened.statements)))
    await opened.close()
    await database.query(`UPDATE client SET name = 'Spectre' WHERE client_id = 'ghost'`)
    const { stdout } = await run('audit', 'list', '--client', 'ghost', '--json')
    const listed = JSON.parse(stdout) as { outcome: string; detail: { changes: { name: unknown } } }[]
    expect(listed.map(({ outcome }) => outcome)).toEqual(['changed by hand', 'changed by hand'])
    expect(listed[1]?.detail.changes.name).toEqual({ from: 'Ghost', to: 'Spectre' })
  })
})

test('a service records what is changed beside it, within a second', async ({ database, service }) => {
  await registerClient(database, { clientId: 'billing' })
  await database.query(`UPDATE client SET name = 'Mine' WHERE client_id = 'billing'`)
  await expect
    .poll(() =>
      database.query(
        `SELECT 1 FROM audit_record WHERE outcome = 'changed by hand' AND client_id = 'billing'`,
      ),
    )
    .not.toEqual([])
  await service.close()
})

test('what commands and the service change is recorded once, by them', async ({
  database,
  run,
  context,
  start,
}) => {
  await registerResources(database)
  await forget(database)
  const { url } = await start()
  await fetch(`${url}/readyz`)
  const ran = succeeding(run)
  const id = 'billing'
  await ran('clients', 'create', id, '--access', `${orders}=orders:read`)
  await ran('clients', 'update', id, '--name', 'Billing')
  await ran('clients', 'access', 'grant', id, orders, 'orders:write')
  const added = JSON.parse(await ran('clients', 'secrets', 'add', id, '--json')) as { secret_id: string }
  await ran('clients', 'secrets', 'revoke', id, added.secret_id)
  await ran('clients', 'disable', id)
  await ran('clients', 'enable', id)
  await ran('clients', 'delete', id, '--yes')
  await ran('resources', 'update', orders, '--name', 'Orders now')
  await ran('resources', 'delete', orders, '--yes')
  const { kid } = await rotate(context(), 'ES256', 'now')
  await revokeKey(context(), kid)
  expect(await noted(database)).toEqual([])
  expect(await settled(database)).toEqual([])
})

test('a record about something else hides no change of the same transaction', async ({ database }) => {
  await registerClient(database, { clientId: 'billing' })
  await forget(database)
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    await client.query('BEGIN')
    await client.query(`UPDATE client SET name = 'Mine' WHERE client_id = 'billing'`)
    await client.query(`SET LOCAL mintmark.actor = 'administration'`)
    await client.query(`INSERT INTO audit_chain (genesis, opened_by) VALUES ('x', 'me')`)
    await client.query(
      `INSERT INTO audit_record (chain, seq, time, type, outcome, client_id, hash)
       SELECT max(chain), 1, now(), 'client', 'changed', 'another', sha256('x') FROM audit_chain`,
    )
    await client.query('COMMIT')
  } finally {
    await client.end()
  }
  expect(await settled(database)).toMatchObject([{ type: 'client', client_id: 'billing' }])
})

describe('a note that is hard to write down', () => {
  const deep = `(repeat('[', 6000) || repeat(']', 6000))::jsonb`

  test('does not keep what was changed after it from being recorded', async ({ database, run }) => {
    await database.query(
      `INSERT INTO trusted_issuer (issuer, key_source, jwks) VALUES ('https://ci.example', 'jwks', '[]')`,
    )
    await registerClient(database, { clientId: 'billing' })
    await forget(database)
    await database.query(`UPDATE trusted_issuer SET jwks = ${deep}`)
    await database.query(
      `INSERT INTO registry_unrecorded_change (transaction_id, table_name, operation, subject, changed_at, database_user, role, application)
       VALUES (1, 'client', 'UPDATE', 'client other', 'infinity', 'clerk', 'clerk', 'psql'),
              (1, 'client', 'UPDATE', 'client other', '-infinity', 'clerk', 'clerk', 'psql')`,
    )
    await database.query(`UPDATE signing_key SET kid = repeat('k', 100000)`)
    await database.query(`UPDATE client SET status = 'disabled' WHERE client_id = 'billing'`)
    const rows = await settled(database)
    expect(rows.map(({ type, credential_id }) => [type, credential_id])).toEqual([
      ['issuer', 'https://ci.example'],
      ['client', null],
      ['client', null],
      ['client', null],
    ])
    expect(rows[0]?.detail['changes']).toEqual({ jwks: { from: [], to: expect.any(String) } })
    expect(await noted(database)).toEqual([])
    for (const call of [
      ['audit', 'list'],
      ['audit', 'export'],
      ['trust', 'list'],
      ['trust', 'list', '--json'],
      ['trust', 'show', 'https://ci.example'],
      ['trust', 'disable', 'https://ci.example'],
    ]) {
      const outcome = await run(...call)
      expect([call, outcome.stderr]).not.toEqual([call, expect.stringContaining('should not have happened')])
    }
  })
})

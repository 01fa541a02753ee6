/** What cannot be worked with is refused in one line, before anything is made. */
import { expect, test, vi } from 'vitest'
import { checkConnection } from '../../src/database/check.ts'
import { migrate, migrationStateOf } from '../../src/database/migrate.ts'
import { openDatabase } from '../../src/database/open.ts'
import { administer, freshDatabase } from '../support/database.ts'
import { prepare, query, type Setup } from '../support/setup.ts'

const refused: Readonly<Record<string, readonly [Setup, RegExp]>> = {
  'another encoding': [
    { create: `ENCODING 'LATIN1' LOCALE 'C'` },
    /^DATABASE_URL: the encoding of this database is LATIN1, and it must be UTF8\. /,
  ],
  'no encoding': [{ create: `ENCODING 'SQL_ASCII' LOCALE 'C'` }, /is SQL_ASCII, and it must be UTF8\. /],
  'read only': [
    { settings: { default_transaction_read_only: 'on' } },
    /in a read-only transaction\. Set DATABASE_URL to the primary, or end /,
  ],
  'triggers that are switched off': [
    { settings: { session_replication_role: 'replica' } },
    /session_replication_role is replica here, .* Run ALTER ROLE \w+ RESET session_replication_role/,
  ],
  'no right to connect': [
    { before: ['REVOKE ALL ON DATABASE $database FROM PUBLIC'], asRole: true },
    /^DATABASE_URL: cannot use the database at \S+: permission denied for database "setup_\w+"/,
  ],
  'no right to create in public, and a schema of its own': [
    {
      before: [
        'REVOKE ALL ON SCHEMA public FROM PUBLIC',
        'GRANT USAGE ON SCHEMA public TO PUBLIC',
        'CREATE SCHEMA AUTHORIZATION $role',
      ],
      asRole: true,
    },
    /may not create tables in the schema public\. .* add \?schema=role_\w+\.$/,
  ],
  'no right to use the schema': [
    { before: ['CREATE SCHEMA tokens'], asRole: true, schema: 'tokens' },
    /may not use the schema tokens\. Grant it USAGE\.$/,
  ],
  'no schema, and no right to create one': [
    { asRole: true, schema: 'tokens' },
    /there is no schema tokens, and the role role_\w+ may not create one\. .* CREATE SCHEMA tokens AUTHORIZATION role_/,
  ],
}

test.concurrent.each(Object.entries(refused))(
  'refused in one line, before anything is made: %s',
  { timeout: 60_000 },
  async (_title, [setup, said]) => {
    const prepared = await prepare(setup)
    try {
      const error: Error = await checkConnection(prepared.url).then(
        () => new Error('it was not refused'),
        (reason) => reason,
      )
      expect(error.message).toMatch(said)
      expect(error).toMatchObject({ name: 'OperatorError' })
      expect(error.message).not.toContain('\n')
      expect(
        await query(prepared.administrator, `SELECT 1 FROM pg_class WHERE relname = '_prisma_migrations'`),
      ).toEqual([])
    } finally {
      await prepared.drop()
    }
  },
)

test.each([
  ['CREATE TABLE client (a int)', /: it has the table client, and no table _prisma_migrations\. /],
  ['CREATE TABLE client (a int) PARTITION BY RANGE (a)', /: it has the table client, /],
  ['CREATE VIEW audit_record AS SELECT 1 AS a', /: it has the view audit_record, /],
  ['CREATE MATERIALIZED VIEW access AS SELECT 1 AS a', /: it has the view access, /],
])('a schema that belongs to something else is left as it is: %s', async (before, said) => {
  const prepared = await prepare({ before: [before] })
  try {
    await expect(migrate(prepared.url)).rejects.toThrow(said)
    expect(
      await query(prepared.administrator, `SELECT 1 FROM pg_class WHERE relname = '_prisma_migrations'`),
    ).toEqual([])
  } finally {
    await prepared.drop()
  }
})

test('every trigger of ours, and every foreign key, is missed if somebody has switched it off', async () => {
  const database = await freshDatabase()
  try {
    const triggers = await database.query<{ name: string; relation: string; isKey: boolean }>(
      `SELECT tgname AS name, tgrelid::regclass::text AS relation, tgisinternal AS "isKey" FROM pg_trigger`,
    )
    const tables = new Set(triggers.map(({ relation }) => relation))
    await database.query([...tables].map((table) => `ALTER TABLE ${table} DISABLE TRIGGER ALL`).join(';'))
    const said = await migrationStateOf(database.url).then(
      () => '',
      (error: Error) => error.message,
    )
    const problems = triggers.map(({ name, relation, isKey }) =>
      isKey
        ? `the triggers of the foreign keys of ${relation} are disabled`
        : `the trigger ${name} on ${relation} is disabled`,
    )
    expect([...new Set(problems)].filter((problem) => !said.includes(problem))).toEqual([])
  } finally {
    await database.drop()
  }
})

test.each([
  ['ALTER TABLE client DISABLE TRIGGER USER', /the trigger registry_updated on client is disabled/],
  [
    'ALTER TABLE access DISABLE TRIGGER ALL',
    /; the triggers of the foreign keys of access are disabled\. Run/,
  ],
  [
    'ALTER TABLE resource ENABLE REPLICA TRIGGER registry_deleted',
    /registry_deleted on resource is disabled\./,
  ],
  ['DROP TRIGGER registry_change_set_publish ON registry_change_set', /_publish on \w+ is missing\. /],
  [
    `INSERT INTO audit_chain (chain, genesis, opened_by) VALUES (7, '', 'test')`,
    /^The sequence audit_chain_chain_seq is behind its table, .* setval\('audit_chain_chain_seq', /,
  ],
  ['ALTER TABLE audit_record SET UNLOGGED', /the table audit_record is UNLOGGED, so a crash would empty it/],
])('what somebody has switched off is told before anything is done: %s', async (statement, said) => {
  const database = await freshDatabase()
  try {
    expect((await migrationStateOf(database.url)).pending).toEqual([])
    await database.query(statement)
    await expect(migrationStateOf(database.url)).rejects.toThrow(said)
  } finally {
    await database.drop()
  }
})

test('row-level security that would hide clients is told before it serves, and never hides one silently', async () => {
  const prepared = await prepare({ asRole: true, migratedByAdministrator: true })
  try {
    await migrate(prepared.migrationUrl)
    for (const statement of [
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${prepared.role}`,
      `GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${prepared.role}`,
    ])
      await administer(prepared.administrator, statement)
    await checkConnection(prepared.url, 'rights')
    await administer(prepared.administrator, 'ALTER TABLE client ENABLE ROW LEVEL SECURITY')
    await expect(checkConnection(prepared.url, 'rights')).rejects.toThrow(
      /^Row-level security would hide rows from the role role_\w+ in the schema public: client\. Run ALTER TABLE/,
    )
    // Switched on while the service runs.
    const database = openDatabase(prepared.url)
    await expect(database.readPool.query('SELECT 1 FROM client')).rejects.toThrow(/row-level security/)
    await database.close()
  } finally {
    await prepared.drop()
  }
})

test('a variable of libpq that would change what a connection is for has no effect', async () => {
  const prepared = await prepare({})
  vi.stubEnv('PGREPLICATION', 'database')
  try {
    await expect(checkConnection(prepared.url)).resolves.toMatchObject({ isPooled: false })
  } finally {
    vi.unstubAllEnvs()
    await prepared.drop()
  }
})

test('a role that lacks rights on a table is told which, before it serves', async () => {
  const prepared = await prepare({ asRole: true, migratedByAdministrator: true })
  try {
    await migrate(prepared.migrationUrl)
    await administer(
      prepared.administrator,
      `GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${prepared.role}`,
    )
    await expect(checkConnection(prepared.url, 'rights')).rejects.toThrow(
      /^The role role_\w+ lacks rights in the schema public: INSERT on audit_chain, .*\. Run "bin\/mintmark migrate" with --service-role/,
    )
  } finally {
    await prepared.drop()
  }
})

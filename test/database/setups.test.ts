/**
 * Nothing is inherited from the database, the role or the server: the whole path on every set-up that people have.
 * Migrate, seed, get a token, let a secret expire, rotate and revoke a key, find records by time, seed again. And what
 * cannot be worked with is refused in one line before anything is made.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { decodeProtectedHeader } from 'jose'
import pg from 'pg'
import { describe, expect, inject, test } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistryFile } from '../../src/administration/registry-file.ts'
import { addSecret } from '../../src/administration/secret-store.ts'
import { checkConnection } from '../../src/database/check.ts'
import { migrate, migrationStateOf } from '../../src/database/migrate.ts'
import { requireRights } from '../../src/database/rights.ts'
import { revokeKey, rotate } from '../../src/keys/rotation.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { LedgerTail } from '../../src/ledger/follow.ts'
import { findRecords } from '../../src/ledger/record-store.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { administer, withDatabase } from '../support/database.ts'
import { requestToken, startService, testKey } from '../support/service.ts'

interface Setup {
  /** Settings of the database, for everybody. */
  readonly settings?: Readonly<Record<string, string>>
  /** After CREATE DATABASE. */
  readonly create?: string
  /** Run in the database before anything else. `$role` is a role of its own, and owns nothing. */
  readonly before?: readonly string[]
  /** Run after the migration, as administrator. */
  readonly migrated?: readonly string[]
  /** Whether the service connects as `$role`. */
  readonly asRole?: boolean
  /** Whether the migration is run by the administrator, and only the service by `$role`. */
  readonly migratedByAdministrator?: boolean
  readonly schema?: string
  readonly parameters?: string
}

interface Prepared {
  /** As the set-up says. */
  readonly url: string
  /** As administrator, without the settings of the set-up. */
  readonly administrator: string
  readonly migrationUrl: string
  readonly role: string
  drop(): Promise<void>
}

const quoted = pg.escapeIdentifier

async function prepare(setup: Setup): Promise<Prepared> {
  const server = inject('postgresUrl')
  const id = randomBytes(6).toString('hex')
  const [name, role] = [`setup_${id}`, `role_${id}`]
  await administer(server, `CREATE DATABASE ${name} TEMPLATE template0 ${setup.create ?? ''}`)
  await administer(server, `CREATE ROLE ${role} LOGIN`)
  const administrator = withDatabase(server, name)
  for (const statement of setup.before ?? []) {
    await administer(administrator, statement.replaceAll('$role', role).replaceAll('$database', name))
  }
  for (const [setting, value] of Object.entries(setup.settings ?? {})) {
    await administer(server, `ALTER DATABASE ${name} SET ${setting} = ${value}`)
  }
  const schema = setup.schema === undefined ? '' : `&schema=${encodeURIComponent(setup.schema)}`
  const changed = new URL(`${administrator}${schema}${setup.parameters ?? ''}`)
  const migrationUrl = changed.href
  if (setup.asRole) changed.username = role
  return {
    url: changed.href,
    administrator,
    migrationUrl: setup.migratedByAdministrator ? migrationUrl : changed.href,
    role,
    async drop() {
      await administer(server, `DROP DATABASE ${name} WITH (FORCE)`)
      await administer(server, `DROP OWNED BY ${role}; DROP ROLE ${role}`)
    },
  }
}

async function query<Row>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query('SET statement_timeout = 0')
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

const registry = `
resources:
  - { audience: https://orders.example.com, name: 'Örders \\ "1"', scopes: [orders:read, "NULL"], token_lifetime: 60 }
clients:
  - client_id: billing
    name: "Billing's \\\\ 請求"
    expires_at: 2099-12-31T23:59:59Z
    access: [{ audience: https://orders.example.com, scopes: [orders:read] }]
`

async function wholePath(setup: Setup): Promise<void> {
  const prepared = await prepare(setup)
  const { url } = prepared
  try {
    await checkConnection(prepared.migrationUrl)
    await migrate(prepared.migrationUrl)
    for (const statement of setup.migrated ?? []) {
      await administer(prepared.administrator, statement.replaceAll('$role', prepared.role))
    }
    await checkConnection(url)
    await requireRights(url)
    expect((await migrationStateOf(url)).pending).toEqual([])
    await expectOneSchema(prepared.administrator, setup.schema ?? 'public')
    const service = await startService({
      database: { url, query: (text, values) => query(url, text, values), drop: async () => {} },
      environment: { MINTMARK_SIGNING_ALGORITHMS: 'ES256' },
    })
    try {
      await useService(service, prepared, setup)
    } finally {
      await service.close()
    }
  } finally {
    await prepared.drop()
  }
}

async function useService(
  { service, url, log }: Awaited<ReturnType<typeof startService>>,
  prepared: Prepared,
  setup: Setup,
): Promise<void> {
  const { database } = service
  const now = Math.floor(Date.now() / 1000)
  const actor = { by: 'test', host: 'test' }
  const context = { database, clock: systemClock, actor, tagMaker: undefined }
  const file = parseRegistryFile(registry, 'registry')

  // Seeding, and seeding again.
  const { secrets } = await applyRegistration(context, file)
  const again = await applyRegistration(context, file)
  expect([...again.plan.resources, ...again.plan.clients].map(({ status }) => status)).toEqual([
    'unchanged',
    'unchanged',
  ])

  // Secrets: one without end, one for an hour, one that is over.
  const clientId = 'billing'
  const first = { clientId, secret: secrets[0]?.secret ?? '' }
  expect((await requestToken(url, first)).status).toBe(200)
  const hour = await addSecret(context, clientId, { expiresAt: now + 3600 })
  const over = await addSecret(context, clientId, { expiresAt: now - 1 })
  expect((await requestToken(url, { clientId, secret: hour.secret.secret })).status).toBe(200)
  expect((await requestToken(url, { clientId, secret: over.secret.secret })).status).toBe(401)
  const inSchema = quoted(setup.schema ?? 'public')
  const stored = await query<{ at: string }>(
    prepared.administrator,
    `SELECT extract(epoch FROM expires_at)::bigint::text AS at FROM ${inSchema}.client_secret WHERE secret_id = $1`,
    [hour.secret.secretId],
  )
  expect(stored).toEqual([{ at: String(now + 3600) }])

  // Keys: a rotation, and the revocation of the key that signs. The next token comes from its successor.
  const rotation = {
    ...context,
    schedule: { ...scheduleOf(), jwksMaxAgeSeconds: 0, verifierCooldownSeconds: 0, clockSkewSeconds: 60 },
    keyEncryptionKeys: async () => [keyEncryptionKey(testKey)] as const,
  }
  const rotated = await rotate(rotation, 'ES256', 'now')
  expect(await kidOf(await requestToken(url, first))).toBe(rotated.kid)
  const revoked = await revokeKey(rotation, rotated.kid)
  expect(revoked.revoked).toBe(true)
  expect(await kidOf(await requestToken(url, first))).not.toBe(rotated.kid)

  // The ledger, by time.
  const since = Date.now() - 600_000
  const found = await findRecords(database.prisma, { type: 'token', since }, 100, Date.now())
  expect(found.map(({ outcome }) => outcome)).toEqual(['issued', 'issued', 'refused', 'issued', 'issued'])
  for (const { time } of found) expect(Math.abs(time - Date.now())).toBeLessThan(600_000)
  expect(await findRecords(database.prisma, { until: since }, 100, Date.now())).toEqual([])
  const tail = await new LedgerTail().start(database, { type: 'key' }, 100, Date.now())
  expect(tail.map(({ outcome }) => outcome)).toEqual(expect.arrayContaining(['created', 'revoked']))

  // A session that finds nothing by itself, as of pg_restore: triggers and functions find everything.
  await query(
    prepared.administrator,
    `SET search_path = ''; UPDATE ${inSchema}.client SET status = 'disabled' WHERE client_id = '${clientId}'`,
  )
  expect((await requestToken(url, first)).status).toBe(401)
  expect(log()).not.toMatch(/"level":(?:50|60)/)
}

function scheduleOf() {
  return { keyLifetimeSeconds: 90 * 86_400, tokenLifetimeSecondsMax: 86_400 }
}

async function kidOf(response: Response): Promise<string | undefined> {
  expect(response.status).toBe(200)
  const { access_token: token } = (await response.json()) as { access_token: string }
  return decodeProtectedHeader(token).kid
}

/** All tables and functions are in this schema, and none in another. */
async function expectOneSchema(url: string, schema: string): Promise<void> {
  const places = await query<{ place: string; count: number }>(
    url,
    `SELECT nspname AS place, count(*)::int FROM (
       SELECT relnamespace AS n FROM pg_class WHERE relname IN ('client', 'audit_record', '_prisma_migrations')
       UNION ALL SELECT pronamespace FROM pg_proc WHERE proname IN ('ledger_commit', 'registry_note_change')) AS ours
       JOIN pg_namespace ON oid = n WHERE nspname <> 'decoy' GROUP BY 1`,
  )
  expect(places).toEqual([{ place: schema, count: 5 }])
}

/** A table and a function of ours by name, in a schema that is found first. */
const decoy = [
  'CREATE SCHEMA decoy',
  'CREATE TABLE decoy.client (nothing int)',
  'CREATE TABLE decoy.signing_key (nothing int)',
  'CREATE TABLE decoy.registry_version (version bigint)',
  `CREATE FUNCTION decoy.ledger_commit(bigint, jsonb) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'`,
  'GRANT USAGE ON SCHEMA decoy TO PUBLIC',
]

const setups: Readonly<Record<string, Setup>> = {
  'as it comes': {},
  'a time zone west of UTC': { settings: { timezone: `'America/New_York'` } },
  'a time zone east of UTC': { settings: { timezone: `'Asia/Kolkata'` } },
  'German dates': { settings: { datestyle: 'German', timezone: `'Europe/Berlin'`, lc_messages: `'C'` } },
  'dates as in SQL': { settings: { datestyle: `'SQL, DMY'`, timezone: `'Australia/Lord_Howe'` } },
  'how values are written': {
    settings: {
      datestyle: `'Postgres, MDY'`,
      intervalstyle: 'sql_standard',
      extra_float_digits: '-15',
      bytea_output: 'escape',
      xmlbinary: 'hex',
      xmloption: 'document',
      lc_monetary: `'C'`,
      client_encoding: 'LATIN1',
    },
  },
  'how values are read': {
    settings: {
      standard_conforming_strings: 'off',
      escape_string_warning: 'off',
      backslash_quote: 'off',
      array_nulls: 'off',
      transform_null_equals: 'on',
      quote_all_identifiers: 'on',
      check_function_bodies: 'off',
    },
  },
  'short limits': {
    settings: {
      statement_timeout: `'50ms'`,
      lock_timeout: `'1ms'`,
      idle_in_transaction_session_timeout: `'1ms'`,
      idle_session_timeout: `'200ms'`,
    },
  },
  serializable: {
    settings: {
      default_transaction_isolation: 'serializable',
      default_transaction_deferrable: 'on',
      synchronous_commit: 'off',
    },
  },
  'repeatable read': { settings: { default_transaction_isolation: `'repeatable read'` } },
  'a planner that is told what to do': {
    settings: {
      enable_indexscan: 'off',
      enable_indexonlyscan: 'off',
      enable_bitmapscan: 'off',
      enable_nestloop: 'off',
      enable_hashjoin: 'off',
      plan_cache_mode: 'force_generic_plan',
      jit: 'on',
      jit_above_cost: '0',
      jit_optimize_above_cost: '0',
      jit_inline_above_cost: '0',
      default_statistics_target: '1',
    },
  },
  'other switches': {
    settings: {
      row_security: 'off',
      exit_on_error: 'on',
      client_min_messages: 'debug5',
      default_tablespace: `'pg_default'`,
      default_toast_compression: 'pglz',
    },
  },
  'a search_path that leads nowhere': { settings: { search_path: `''` } },
  'a search_path that leads to tables of the same names': {
    before: decoy,
    settings: { search_path: 'decoy, public' },
  },
  'a schema in the URL': { schema: 'tokens' },
  'a schema in the URL, and tables of the same names elsewhere': {
    before: decoy,
    settings: { search_path: 'decoy, public', timezone: `'America/New_York'` },
    schema: 'tokens',
  },
  'a schema with a name to quote, in a database without public': {
    before: ['DROP SCHEMA public'],
    schema: 'Token service 1',
  },
  'a role with a schema of its own name, and no right on public': {
    before: ['REVOKE ALL ON SCHEMA public FROM PUBLIC', 'CREATE SCHEMA app AUTHORIZATION $role'],
    asRole: true,
    schema: 'app',
  },
  'a role that may create in the schema, and not in the database': {
    before: [
      'REVOKE ALL ON DATABASE $database FROM PUBLIC',
      'GRANT CONNECT ON DATABASE $database TO $role',
      'GRANT CREATE, USAGE ON SCHEMA public TO $role',
      // Of a role, which counts for more than that of a database.
      `ALTER ROLE $role SET timezone = 'Pacific/Chatham'`,
      `ALTER ROLE $role SET datestyle = 'German'`,
      `ALTER ROLE $role SET search_path = 'nowhere'`,
      `ALTER ROLE $role SET synchronous_commit = 'local'`,
    ],
    asRole: true,
  },
  'a role that serves, and does not own the tables': {
    migratedByAdministrator: true,
    asRole: true,
    schema: 'tokens',
    migrated: [
      'GRANT USAGE ON SCHEMA tokens TO $role',
      'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tokens TO $role',
      'GRANT USAGE ON ALL SEQUENCES IN SCHEMA tokens TO $role',
    ],
  },
  'settings in the URL': {
    parameters: `&options=${encodeURIComponent('-c timezone=America/New_York -c datestyle=German -c search_path=pg_catalog')}`,
  },
}

describe.concurrent('the whole path', () => {
  test.each(Object.entries(setups))('%s', { timeout: 120_000 }, (_title, setup) => wholePath(setup))
})

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

test('a role that lacks rights on a table is told which, before it serves', async () => {
  const prepared = await prepare({ asRole: true, migratedByAdministrator: true })
  try {
    await migrate(prepared.migrationUrl)
    await administer(
      prepared.administrator,
      `GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${prepared.role}`,
    )
    await expect(requireRights(prepared.url)).rejects.toThrow(
      /^The role role_\w+ lacks rights in the schema public: INSERT on audit_chain, .*\. Grant them,/,
    )
  } finally {
    await prepared.drop()
  }
})

test('every setting that may change a value has the value of ours in all sessions', async () => {
  const prepared = await prepare({
    settings: {
      timezone: `'America/New_York'`,
      synchronous_commit: 'local',
      lock_timeout: '5',
      datestyle: 'German',
    },
    schema: 'tokens',
  })
  try {
    await migrate(prepared.url)
    const { openDatabase } = await import('../../src/database/open.ts')
    const database = openDatabase(prepared.url)
    const text = `SELECT current_setting('TimeZone') AS zone, current_setting('DateStyle') AS style,
                         current_setting('synchronous_commit') AS commit, current_setting('lock_timeout') AS lock,
                         current_setting('search_path') AS path`
    const ours = { zone: 'UTC', style: 'ISO, YMD', commit: 'on', lock: '0', path: 'tokens, pg_temp' }
    try {
      expect((await database.readPool.query(text)).rows).toEqual([ours])
      expect((await database.commitPool.query(text)).rows).toEqual([ours])
      expect(await database.prisma.$queryRawUnsafe(text)).toEqual([ours])
      // A pool in transaction mode may lose what was set. Moments are right all the same.
      const at = new Date('2026-07-01T12:34:56.789Z')
      await database.prisma.$transaction(async (transaction) => {
        await transaction.$executeRawUnsafe(`SET LOCAL timezone = 'America/New_York'`)
        await transaction.client.create({ data: { clientId: 'x', name: randomUUID(), expiresAt: at } })
        expect(await transaction.client.findMany({ select: { expiresAt: true } })).toEqual([
          { expiresAt: at },
        ])
      })
      expect(await database.prisma.client.findMany({ select: { expiresAt: true } })).toEqual([
        { expiresAt: at },
      ])
    } finally {
      await database.close()
    }
  } finally {
    await prepared.drop()
  }
})

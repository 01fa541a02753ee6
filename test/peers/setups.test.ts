/**
 * Nothing is inherited from the database, the role or the server: the whole path on every set-up that people have.
 * Migrate, seed, get a token, let a secret expire, rotate and revoke a key, find records by time, seed again.
 * Long because all set-ups stand in one table.
 */
import { randomUUID } from 'node:crypto'
import { decodeProtectedHeader } from 'jose'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistryFile } from '../../src/administration/registry-file.ts'
import { addSecret } from '../../src/administration/secret-store.ts'
import { checkConnection } from '../../src/database/check.ts'
import { migrate, migrationStateOf } from '../../src/database/migrate.ts'
import { openDatabase } from '../../src/database/open.ts'
import { revokeKey } from '../../src/keys/revocation.ts'
import { rotate } from '../../src/keys/rotation.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { LedgerTail } from '../../src/ledger/follow.ts'
import { findRecords } from '../../src/ledger/record-store.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { administer } from '../support/database.ts'
import { requestToken, startService, testKey } from '../support/service.ts'
import { type Prepared, prepare, query, type Setup, serverVersion } from '../support/setup.ts'

const quoted = pg.escapeIdentifier

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
  if (setup.since !== undefined && (await serverVersion()) < setup.since) return
  const prepared = await prepare(setup)
  const { url } = prepared
  try {
    await checkConnection(prepared.migrationUrl)
    await migrate(prepared.migrationUrl)
    for (const statement of setup.migrated ?? []) {
      await administer(prepared.administrator, statement.replaceAll('$role', prepared.role))
    }
    await checkConnection(url, 'rights')
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
  // Each finds what it names whatever the session is set to, and temporary tables last.
  const unpinned = `SELECT proname FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    AND proname NOT IN ('no', 'now', 'clock_timestamp')
    AND NOT coalesce(proconfig @> ARRAY[format('search_path=pg_catalog, %I, pg_temp', $1::pg_catalog.text)], false)`
  expect(await query(url, unpinned, [schema])).toEqual([])
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
      statement_timeout: `'500ms'`,
      lock_timeout: `'1ms'`,
      idle_in_transaction_session_timeout: `'1ms'`,
      idle_session_timeout: `'2s'`,
      transaction_timeout: `'2s'`,
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
      row_security: 'on',
      log_statement: `'all'`,
      debug_print_plan: 'on',
      log_min_messages: 'fatal',
      track_activities: 'off',
      restrict_nonsystem_relation_kind: `'view, foreign-table'`,
      client_connection_check_interval: '1',
      deadlock_timeout: '1',
      exit_on_error: 'on',
      client_min_messages: 'debug5',
      default_tablespace: `'pg_default'`,
      default_toast_compression: 'pglz',
    },
  },
  // A read of pg_settings would need a temporary file.
  'little memory, and no temporary files': {
    settings: {
      work_mem: `'64kB'`,
      temp_file_limit: '0',
      temp_buffers: `'800kB'`,
      maintenance_work_mem: `'1MB'`,
      max_stack_depth: `'100kB'`,
    },
  },
  'Turkish letters': {
    since: 15,
    create: `LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C' ENCODING 'UTF8'`,
  },
  'an order of letters that knows no case': {
    since: 16,
    create: `LOCALE_PROVIDER icu ICU_LOCALE 'und-u-ks-level1-kn-true-ka-shifted' ICU_RULES '&a < z < b' LOCALE 'C' ENCODING 'UTF8'`,
  },
  'functions, operators and types of others before those of PostgreSQL': {
    before: [
      `CREATE FUNCTION public.no(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false'`,
      `CREATE FUNCTION public.no(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false'`,
      `CREATE FUNCTION public.no(bigint, int) RETURNS boolean LANGUAGE sql AS 'SELECT false'`,
      'CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.no)',
      'CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = int, FUNCTION = public.no)',
      'CREATE OPERATOR public.<> (LEFTARG = bigint, RIGHTARG = int, FUNCTION = public.no)',
      `CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT timestamptz ''epoch'''`,
      `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT timestamptz ''epoch'''`,
      'CREATE DOMAIN public.uuid AS pg_catalog.uuid CHECK (false)',
      'CREATE DOMAIN public.text AS pg_catalog.text CHECK (false)',
    ],
    settings: { search_path: 'public, pg_catalog' },
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
  'a schema with a name of other characters': { schema: `Schlüssel, 鍵.🔑-c'd\\e%I {$1}` },
  'a role that takes its rights by SET ROLE alone': {
    before: [
      'CREATE ROLE owner_of_$role',
      'GRANT owner_of_$role TO $role',
      'CREATE SCHEMA tokens AUTHORIZATION owner_of_$role',
      'ALTER ROLE $role NOINHERIT',
      'ALTER ROLE $role SET role = owner_of_$role',
    ],
    asRole: true,
    schema: 'tokens',
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
    before: [
      'ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC',
      'ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC',
    ],
    migratedByAdministrator: true,
    asRole: true,
    schema: 'tokens',
    migrated: [
      'GRANT USAGE ON SCHEMA tokens TO $role',
      'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tokens TO $role',
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

test('every setting that may change a value has the value of ours in all sessions', async () => {
  const prepared = await prepare({
    settings: {
      timezone: `'America/New_York'`,
      synchronous_commit: 'local',
      lock_timeout: '5',
      idle_session_timeout: '60000',
      datestyle: 'German',
    },
    schema: 'tokens',
  })
  try {
    await migrate(prepared.url)
    const database = openDatabase(prepared.url)
    const text = `SELECT current_setting('TimeZone') AS zone, current_setting('DateStyle') AS style,
                         current_setting('synchronous_commit') AS commit, current_setting('lock_timeout') AS lock,
                         current_setting('idle_session_timeout') AS idle,
                         current_setting('search_path') AS path`
    const ours = {
      zone: 'UTC',
      style: 'ISO, YMD',
      commit: 'on',
      lock: '0',
      idle: '0',
      path: 'tokens, pg_temp',
    }
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

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { administer, withDatabase } from './database.ts'

/** A database of its own that is set up in some way. */
export interface Setup {
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
  /** The major version of PostgreSQL that can be set up so; older ones are passed over. */
  readonly since?: number
  readonly parameters?: string
}

export interface Prepared {
  /** As the set-up says. */
  readonly url: string
  /** As administrator, without the settings of the set-up. */
  readonly administrator: string
  readonly migrationUrl: string
  readonly role: string
  drop(): Promise<void>
}

export async function prepare(setup: Setup): Promise<Prepared> {
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
    await administer(server, `ALTER DATABASE ${name} SET ${setting} = ${value}`).catch((error: unknown) => {
      // An older PostgreSQL does not have it.
      if ((error as { code?: string }).code !== '42704') throw error
    })
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
      await administer(
        server,
        `DROP OWNED BY ${role}; DROP ROLE IF EXISTS owner_of_${role}; DROP ROLE ${role}`,
      )
    },
  }
}

/** As administrator, whatever the database is set to. */
export async function query<Row>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  // A set-up may end sessions that rest. Without a listener that would end the test run.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(
      'SET statement_timeout = 0; SET quote_all_identifiers = off; SET search_path = pg_catalog, public',
    )
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

export async function serverVersion(): Promise<number> {
  const text = `SELECT current_setting('server_version_num')::int / 10000 AS major`
  const [row] = await query<{ major: number }>(inject('postgresUrl'), text)
  return row?.major ?? 0
}

import pg from 'pg'
import { OperatorError } from '../errors.ts'
import { DatabaseClient } from './client.ts'
import { DatabaseHosts } from './hosts.ts'
import { rightsOfService } from './rights.ts'
import { sessionSettings } from './session.ts'

/**
 * The roles that work with the database and do not own it. Both can only add to the ledger. What a role of an earlier
 * release had is taken away first, so the grants are those of this release and no others.
 */
export interface Roles {
  /** For "serve": issues tokens, and creates the keys that are due. It cannot change who is registered. */
  readonly service: string | undefined
  /** For commands that change the registry or the keys. */
  readonly operator: string | undefined
}

/** What commands need, beside what the service needs. */
const rightsOfOperator: Readonly<Record<string, readonly string[]>> = {
  client: ['INSERT', 'UPDATE'],
  client_key: ['INSERT', 'UPDATE'],
  client_secret: ['INSERT', 'UPDATE'],
  client_secret_overlap: ['INSERT'],
  access: ['INSERT', 'UPDATE', 'DELETE'],
  resource: ['INSERT', 'UPDATE', 'DELETE'],
  trusted_issuer: ['INSERT', 'UPDATE', 'DELETE'],
  trust_rule: ['INSERT', 'UPDATE', 'DELETE'],
  blocked_workload: ['INSERT', 'DELETE'],
  sealed_registry_head: ['INSERT', 'UPDATE'],
  sealed_registry_node: ['INSERT', 'UPDATE', 'DELETE'],
  signing_key: ['UPDATE'],
}

/**
 * Grants the rights, and takes from everybody else the right to connect. Only on a migrated database.
 * @returns what somebody has to know, in whole sentences.
 * @throws OperatorError when a role does not exist, or has more rights than these whatever is granted.
 */
export async function grantRoles(url: string, roles: Roles): Promise<readonly string[]> {
  const hosts = new DatabaseHosts(url)
  const { schema } = hosts.first
  const client = new DatabaseClient({ hosts, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.start(sessionSettings(schema))
    const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name')
    const database = rows[0]?.name ?? ''
    const given = [
      { role: roles.service, rights: [rightsOfService] },
      { role: roles.operator, rights: [rightsOfService, rightsOfOperator] },
    ].flatMap(({ role, rights }) => (role === undefined ? [] : [{ role, rights }]))
    await requireOwner(client)
    for (const { role } of given) await requireRole(client, role)
    const statements = [
      ...statementsForAll(database, schema),
      ...given.flatMap(({ role, rights }) => statementsFor(database, schema, role, rights)),
    ]
    await client.query(`BEGIN; ${statements.join('; ')}; COMMIT`)
    for (const { role } of given) await requireAppendOnly(client, role)
    return await openDoors(client, database)
  } finally {
    await client.end()
  }
}

const identifier = (name: string): string => pg.escapeIdentifier(name)

/** A role that may only connect could still fill temporary tables, and hold locks that do not belong to a table. */
function statementsForAll(database: string, schema: string): string[] {
  return [
    `REVOKE CONNECT, TEMPORARY ON DATABASE ${identifier(database)} FROM PUBLIC`,
    `REVOKE CREATE ON SCHEMA ${identifier(schema)} FROM PUBLIC`,
  ]
}

function statementsFor(
  database: string,
  schema: string,
  role: string,
  rights: readonly Readonly<Record<string, readonly string[]>>[],
): string[] {
  const to = identifier(role)
  const inSchema = (name: string): string => `${identifier(schema)}.${identifier(name)}`
  return [
    `REVOKE ALL ON ALL TABLES IN SCHEMA ${identifier(schema)} FROM ${to}`,
    `GRANT CONNECT ON DATABASE ${identifier(database)} TO ${to}`,
    `GRANT USAGE ON SCHEMA ${identifier(schema)} TO ${to}`,
    `GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${identifier(schema)} TO ${to}`,
    `GRANT SELECT ON ${inSchema('_prisma_migrations')} TO ${to}`,
    ...rights
      .flatMap((tables) => Object.entries(tables))
      .map(([table, names]) => `GRANT ${names.join(', ')} ON ${inSchema(table)} TO ${to}`),
  ]
}

async function requireRole(client: pg.Client, role: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role])
  if (rowCount === 1) return
  throw new OperatorError(
    `There is no role ${role} in this database server. Create it first, with a password or another way to ` +
      `authenticate: CREATE ROLE ${identifier(role)} LOGIN.`,
  )
}

/** PostgreSQL only warns when somebody else grants, and nothing is granted then. */
async function requireOwner(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ role: string; owner: string }>(
    `SELECT current_user AS role, pg_get_userbyid(relowner) AS owner
       FROM pg_class WHERE oid = to_regclass('audit_record') AND NOT pg_has_role(relowner, 'USAGE')`,
  )
  const [found] = rows
  if (found === undefined) return
  throw new OperatorError(
    `DATABASE_URL: the role ${found.role} can grant nothing, because ${found.owner} owns the tables. Run this command ` +
      `with the role ${found.owner}. No right was changed.`,
  )
}

/** A superuser, the owner of the tables and its members have every right, whatever is granted. */
async function requireAppendOnly(client: pg.Client, role: string): Promise<void> {
  const { rows } = await client.query<{ right: string }>(
    `SELECT name AS right FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS name
      WHERE has_table_privilege($1, 'audit_record', name)`,
    [role],
  )
  if (rows.length === 0) return
  throw new OperatorError(
    `The role ${role} can change records of the ledger (${rows.map(({ right }) => right).join(', ')}), because it is a ` +
      'superuser, owns the tables, or is a member of the role that does. Use a role of its own.',
  )
}

/** REVOKE by a role that does not own the database does nothing, and reports no error. */
async function openDoors(client: pg.Client, database: string): Promise<readonly string[]> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
      WHERE datname = current_database() AND grantee = 0 AND privilege_type = 'CONNECT'`,
  )
  if (rowCount === 0) return []
  return [
    `Every role of the server can still connect to ${database}. Let its owner run: REVOKE CONNECT ON DATABASE ` +
      `${identifier(database)} FROM PUBLIC.`,
  ]
}

import { OperatorError } from '../errors.ts'
import type { DatabaseClient } from './client.ts'

/**
 * What a process that serves does with each table. Said before it serves: otherwise the first token, or a key that
 * is due months later, would find out. The role needs not own the tables.
 */
export const rightsOfService: Readonly<Record<string, readonly string[]>> = {
  // Not the whole row: a role that could change where a chain begins could cut it.
  audit_chain: ['SELECT', 'INSERT', 'UPDATE (committed_at)'],
  audit_record: ['SELECT', 'INSERT'],
  registry_version: ['SELECT', 'UPDATE'],
  registry_change_set: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  registry_unrecorded_change: ['SELECT', 'DELETE'],
  registry_change: ['SELECT', 'INSERT', 'DELETE'],
  client: ['SELECT'],
  client_use: ['SELECT', 'INSERT', 'UPDATE'],
  client_key: ['SELECT'],
  client_key_use: ['SELECT', 'INSERT', 'UPDATE'],
  client_secret: ['SELECT'],
  client_secret_tag: ['SELECT', 'INSERT', 'UPDATE'],
  client_secret_use: ['SELECT', 'INSERT', 'UPDATE'],
  client_secret_caller: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  client_secret_overlap: ['SELECT', 'UPDATE'],
  access: ['SELECT'],
  resource: ['SELECT'],
  trusted_issuer: ['SELECT'],
  trust_rule: ['SELECT'],
  workload: ['SELECT', 'INSERT', 'UPDATE'],
  blocked_workload: ['SELECT'],
  sealed_registry_head: ['SELECT'],
  sealed_registry_node: ['SELECT'],
  // The turn of a key that waits, when the one before is revoked or ends too early. Not whether it is revoked.
  signing_key: [
    'SELECT',
    'INSERT',
    ...['published_at', 'signs_from', 'signs_until', 'published_until'].map((column) => `UPDATE (${column})`),
  ],
  signing_key_manifest: ['SELECT', 'INSERT', 'UPDATE'],
  spent_identifier: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  running_process: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  verifier: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
}

/**
 * @param client whose session was started, on a migrated database.
 * @throws OperatorError that names every missing right.
 */
export async function requireRights(client: DatabaseClient, schema: string): Promise<void> {
  const pairs = Object.entries(rightsOfService).flatMap(([table, rights]) =>
    rights.map((right) => [table, right]),
  )
  const { rows } = await client.query<{ role: string; missing: string }>(
    `SELECT current_user AS role, privilege || ' on ' || name AS missing
       FROM jsonb_to_recordset($1::jsonb) AS wanted (name text, privilege text)
      WHERE NOT CASE
              WHEN privilege LIKE '%(%' THEN has_column_privilege(
                to_regclass(name), substring(privilege FROM '[(](.*)[)]'), split_part(privilege, ' ', 1))
              ELSE has_table_privilege(to_regclass(name), privilege) END
      UNION ALL
     SELECT current_user, 'USAGE on ' || name FROM unnest($2::text[]) AS sequence (name)
      WHERE NOT has_sequence_privilege(name, 'USAGE')
      UNION ALL
     SELECT current_user, 'EXECUTE on ' || p.oid::regprocedure
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = $3
        AND p.proname IN ('ledger_commit', 'ledger_commit_once', 'ledger_append', 'ledger_record_changes',
                          'ledger_end_unused_secret', 'registry_end_unused_secret')
        AND NOT has_function_privilege(p.oid, 'EXECUTE')`,
    [
      JSON.stringify(pairs.map(([name, privilege]) => ({ name, privilege }))),
      ['audit_chain_chain_seq', 'registry_change_set_set_id_seq'],
      schema,
    ],
  )
  const [first] = rows
  if (first === undefined) return await requireAllRows(client, schema)
  throw new OperatorError(
    `The role ${first.role} lacks rights in the schema ${schema}: ` +
      `${rows.map(({ missing }) => missing).join(', ')}. Run "bin/mintmark migrate" with ` +
      '--service-role and --operator-role, as the owner of the tables: it grants them.',
  )
}

/**
 * Row-level security would hide clients and keys from the role. Our sessions refuse to read such a table
 * (session.ts), so it is said here.
 */
async function requireAllRows(client: DatabaseClient, schema: string): Promise<void> {
  const { rows } = await client.query<{ role: string; tables: string | null }>(
    `SELECT current_user AS role, string_agg(name, ', ' ORDER BY name) AS tables
       FROM unnest($1::text[]) AS ours (name) WHERE row_security_active(to_regclass(name))`,
    [Object.keys(rightsOfService)],
  )
  const [row] = rows
  if (row === undefined || row.tables === null) return
  throw new OperatorError(
    `Row-level security would hide rows from the role ${row.role} in the schema ${schema}: ${row.tables}. Run ` +
      `ALTER TABLE … DISABLE ROW LEVEL SECURITY for each of them, or ALTER ROLE ${row.role} BYPASSRLS.`,
  )
}

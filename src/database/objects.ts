import type pg from 'pg'
import { OperatorError } from '../errors.ts'

/** Tables whose changes have to be told to every process that serves. */
const watched = [
  'access',
  'blocked_workload',
  'client',
  'client_key',
  'client_secret',
  'resource',
  'signing_key',
  'signing_key_manifest',
  'trust_rule',
  'trusted_issuer',
]
const events = ['inserted', 'updated', 'deleted', 'truncated']
/** Those that note what hands change (ledger/hand-changes.ts). */
const notes = ['insert', 'update', 'delete', 'truncate']

const triggers = [
  ...watched.flatMap((table) => events.map((event) => ({ table, trigger: `registry_${event}` }))),
  ...watched.flatMap((table) => notes.map((event) => ({ table, trigger: `registry_noted_${event}` }))),
  { table: 'registry_change_set', trigger: 'registry_change_set_publish' },
  { table: 'audit_chain', trigger: 'audit_chain_stamp_change' },
  { table: 'audit_chain', trigger: 'audit_chain_settle_notes' },
]

/**
 * The migrations have made tables that survive a crash, with triggers that tell of every change and keep what belongs
 * together. Somebody can switch them off for a moment, as pg_restore does for data alone, and forget it: then a
 * client that was disabled would get tokens all the same.
 * @throws OperatorError with what is not as it was made.
 */
export async function requireObjects(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ problem: string }>(
    `WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = (current_schemas(false))[1])
     SELECT CASE WHEN t.oid IS NULL THEN 'the trigger ' || trigger || ' on ' || "table" || ' is missing'
                 ELSE 'the trigger ' || trigger || ' on ' || "table" || ' is disabled' END AS problem
       FROM jsonb_to_recordset($1::jsonb) AS wanted ("table" text, trigger text)
      CROSS JOIN ours JOIN pg_class c ON c.relname = "table" AND c.relnamespace = ours.oid
       LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = trigger
      WHERE t.oid IS NULL OR t.tgenabled NOT IN ('O', 'A')
      UNION ALL
     SELECT DISTINCT 'the triggers of the foreign keys of ' || c.relname || ' are disabled'
       FROM ours CROSS JOIN pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
      WHERE t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
        AND c.relnamespace = ours.oid AND c.relname = ANY ($2::text[])
      UNION ALL
     SELECT 'the table ' || relname || ' is UNLOGGED, so a crash would empty it' FROM ours CROSS JOIN pg_class
      WHERE relpersistence = 'u' AND relkind = 'r' AND relnamespace = ours.oid
        AND relname IN (SELECT "table" FROM jsonb_to_recordset($1::jsonb) AS wanted ("table" text)
                        UNION ALL VALUES ('audit_record'), ('registry_version'), ('registry_change'),
                                         ('registry_unrecorded_change'), ('spent_identifier'),
                                         ('sealed_registry_head'), ('sealed_registry_node'))`,
    [
      JSON.stringify(triggers),
      [
        ...watched,
        'client_use',
        'client_key_use',
        'client_secret_use',
        'client_secret_caller',
        'client_secret_overlap',
        'client_secret_tag',
      ],
    ],
  )
  if (rows.length === 0) return await requireSequences(client)
  throw new OperatorError(
    `The database is not as its migrations made it: ${rows.map(({ problem }) => problem).join('; ')}. Run ` +
      'ALTER TABLE … ENABLE TRIGGER ALL or SET LOGGED, or restore what is missing from a backup.',
  )
}

const sequences = [
  { sequence: 'audit_chain_chain_seq', table: 'audit_chain', column: 'chain' },
  { sequence: 'registry_change_set_set_id_seq', table: 'registry_change_set', column: 'set_id' },
]

/**
 * Logical replication, and a copy of some tables, leave sequences where they were. The next row would then get a number
 * that is taken.
 */
async function requireSequences(client: pg.ClientBase): Promise<void> {
  for (const { sequence, table, column } of sequences) {
    const { rows } = await client.query<{ may: boolean }>(
      `SELECT has_table_privilege(to_regclass($1), 'SELECT') AND has_sequence_privilege($2, 'USAGE') AS may`,
      [table, sequence],
    )
    // A role that may not use it makes no numbers.
    if (rows[0]?.may !== true) continue
    // The table first: meanwhile others take numbers.
    const { rows: found } = await client.query<{ highest: string | null }>(
      `SELECT max(${column}) AS highest FROM ${table}`,
    )
    const { rows: behind } = await client.query(
      `SELECT 1 WHERE $1::bigint > coalesce(pg_sequence_last_value($2::regclass), 0)`,
      [found[0]?.highest, sequence],
    )
    if (behind.length === 0) continue
    throw new OperatorError(
      `The sequence ${sequence} is behind its table, as logical replication leaves it. Run SELECT ` +
        `setval('${sequence}', (SELECT max(${column}) FROM ${table})).`,
    )
  }
}

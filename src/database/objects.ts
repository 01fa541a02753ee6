import type pg from 'pg'
import { OperatorError } from '../errors.ts'

/** Tables whose changes have to be told to every process that serves. */
const watched = ['access', 'client', 'client_secret', 'resource', 'signing_key', 'signing_key_manifest']
const events = ['inserted', 'updated', 'deleted', 'truncated']

const triggers = [
  ...watched.flatMap((table) => events.map((event) => ({ table, trigger: `registry_${event}` }))),
  { table: 'registry_change_set', trigger: 'registry_change_set_publish' },
  { table: 'audit_chain', trigger: 'audit_chain_stamp_change' },
]

/**
 * The migrations have made tables that survive a crash, with triggers that tell of every change and keep what belongs
 * together. Somebody can switch them off for a moment, as pg_restore does for data alone, and forget it: then a
 * client that was disabled would get tokens all the same.
 * @throws OperatorError with what is not as it was made.
 */
export async function requireObjects(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ problem: string }>(
    `SELECT CASE WHEN t.oid IS NULL THEN 'the trigger ' || trigger || ' on ' || "table" || ' is missing'
                 ELSE 'the trigger ' || trigger || ' on ' || "table" || ' is disabled' END AS problem
       FROM jsonb_to_recordset($1::jsonb) AS wanted ("table" text, trigger text)
       JOIN pg_class c ON c.relname = "table" AND c.relnamespace = (current_schemas(false))[1]::text::regnamespace
       LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = trigger
      WHERE t.oid IS NULL OR t.tgenabled NOT IN ('O', 'A')
      UNION ALL
     SELECT DISTINCT 'the triggers of the foreign keys of ' || c.relname || ' are disabled'
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
      WHERE t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
        AND c.relnamespace = (current_schemas(false))[1]::text::regnamespace AND c.relname = ANY ($2::text[])
      UNION ALL
     SELECT 'the table ' || relname || ' is UNLOGGED, so a crash would empty it' FROM pg_class
      WHERE relpersistence = 'u' AND relkind = 'r' AND relnamespace = (current_schemas(false))[1]::text::regnamespace
        AND relname IN (SELECT "table" FROM jsonb_to_recordset($1::jsonb) AS wanted ("table" text)
                        UNION ALL VALUES ('audit_record'), ('registry_version'), ('registry_change'))`,
    [JSON.stringify(triggers), [...watched, 'client_secret_use']],
  )
  if (rows.length === 0) return
  throw new OperatorError(
    `The database is not as its migrations made it: ${rows.map(({ problem }) => problem).join('; ')}. Run ` +
      'ALTER TABLE … ENABLE TRIGGER ALL or SET LOGGED, or restore what is missing from a backup.',
  )
}

-- The lock between a commit of the ledger and a change of the registry is one on the table registry_version. It was an
-- advisory lock, which any role takes that may connect to the database: such a role could stop all tokens. A table is
-- locked only by who may write it.
--
-- A commit takes ROW SHARE, a change EXCLUSIVE: they exclude each other, and neither delays a reader or a backup.
--
-- Processes are serving while this runs. So at first the functions take both locks, always in the same order: a commit
-- that began before this, and has only the advisory lock, and a change that began after it still exclude each other.
-- The next migration takes the advisory lock away.
--
-- A session that publishes its change early (SET CONSTRAINTS ALL IMMEDIATE) and does not commit stops all tokens. The
-- server ends it after a second of silence.
DO $$
DECLARE
  ours record;
  bound CONSTANT text := 'PERFORM set_config(''idle_in_transaction_session_timeout'', ''1s'', true);';
BEGIN
  FOR ours IN
    SELECT p.oid, pg_get_functiondef(p.oid) AS definition
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = current_schema() AND p.prosrc LIKE '%PERFORM pg_advisory_xact_lock%(1296649043, 1);%'
  LOOP
    EXECUTE replace(replace(ours.definition,
      'PERFORM pg_advisory_xact_lock_shared(1296649043, 1);',
      'PERFORM pg_advisory_xact_lock_shared(1296649043, 1); LOCK TABLE registry_version IN ROW SHARE MODE;'),
      'PERFORM pg_advisory_xact_lock(1296649043, 1);',
      'PERFORM pg_advisory_xact_lock(1296649043, 1); LOCK TABLE registry_version IN EXCLUSIVE MODE; ' || bound);
  END LOOP;
END $$;

-- Functions and triggers find our tables whatever the session's search_path is: psql may set it to nothing, and
-- pg_restore always does. The schema is the one that is migrated, and its name stands nowhere else. pg_temp is named
-- and so comes last: a temporary table of somebody's session is never taken for one of ours.
DO $$
DECLARE
  ours regprocedure;
BEGIN
  FOR ours IN
    SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = current_schema()
       AND p.proname IN ('registry_note_change', 'registry_publish_change', 'ledger_append', 'ledger_commit')
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', ours, current_schema());
  END LOOP;
END $$;

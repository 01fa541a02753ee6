-- The second half of the migration before. The advisory lock is taken once more, so that no commit is left that began
-- with it alone. It is asked for again and again, and never for long: a token would wait behind it.
DO $$
DECLARE
  ours record;
  tries int := 0;
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      PERFORM pg_advisory_xact_lock(1296649043, 1);
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      tries := tries + 1;
      IF tries = 60 THEN
        RAISE EXCEPTION 'a session holds the advisory lock (1296649043, 1) for a minute; end it, and migrate again';
      END IF;
      PERFORM pg_sleep(1);
    END;
  END LOOP;
  FOR ours IN
    SELECT p.oid, pg_get_functiondef(p.oid) AS definition
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = current_schema() AND p.prosrc LIKE '%PERFORM pg_advisory_xact_lock%(1296649043, 1);%'
  LOOP
    EXECUTE replace(replace(ours.definition,
      'PERFORM pg_advisory_xact_lock_shared(1296649043, 1); ', ''),
      'PERFORM pg_advisory_xact_lock(1296649043, 1); ', '');
  END LOOP;
END $$;

-- When a record was committed, by the database's clock, beside the time of the request. The time of a request may be
-- some milliseconds later than the time of a change that it preceded, or wrong with the clock of its machine. These
-- times tell the order: a token is stamped under the lock that every commit shares, and a change under the same lock,
-- which it holds alone. They are not part of the hash, and records from before have none.
--
-- The lock is asked for again and again, and never for long: a token would wait behind this while this waits for somebody
-- who reads the ledger, a backup for instance.
DO $$
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      LOCK TABLE "audit_chain", "audit_record" IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
END $$;

-- A default that is set later leaves the rows that exist as they are, so no table is written anew.
ALTER TABLE "audit_record" ADD COLUMN "committed_at" TIMESTAMPTZ(6);
ALTER TABLE "audit_record" ALTER COLUMN "committed_at" SET DEFAULT clock_timestamp();

-- The records of a change are written before its transaction ends, and are a chain of their own. One stamp for all of
-- them is made at the very end.
ALTER TABLE "audit_chain" ADD COLUMN "committed_at" TIMESTAMPTZ(6);

CREATE FUNCTION "ledger_stamp_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- The chain of a service has no record yet when it is opened.
  PERFORM 1 FROM audit_record WHERE chain = NEW.chain LIMIT 1;
  IF FOUND THEN
    -- A change of the registry has this lock already.
    PERFORM pg_advisory_xact_lock(1296649043, 1);
    UPDATE audit_chain SET committed_at = clock_timestamp() WHERE chain = NEW.chain;
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER "audit_chain_stamp_change"
  AFTER INSERT ON "audit_chain" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION "ledger_stamp_change"();

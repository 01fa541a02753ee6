-- What is known of a secret while it is replaced: who still uses it, and when it ends by itself.

-- CreateTable
CREATE TABLE "client_secret_caller" (
    "secret_id" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "user_agent" TEXT NOT NULL,
    "count" BIGINT NOT NULL,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "client_secret_caller_pkey" PRIMARY KEY ("secret_id","address","user_agent")
);

-- CreateTable
CREATE TABLE "client_secret_overlap" (
    "secret_id" TEXT NOT NULL,
    "replaced_by" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "unused_seconds" INTEGER,
    "watched_since" TIMESTAMPTZ(3) NOT NULL,
    "watched_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "client_secret_overlap_pkey" PRIMARY KEY ("secret_id")
);

-- CreateIndex
CREATE INDEX "client_secret_caller_last_used_at_idx" ON "client_secret_caller"("last_used_at");

-- CreateIndex
CREATE INDEX "client_secret_expires_at_idx" ON "client_secret"("expires_at");

-- AddForeignKey
ALTER TABLE "client_secret_caller" ADD CONSTRAINT "client_secret_caller_secret_id_fkey" FOREIGN KEY ("secret_id") REFERENCES "client_secret"("secret_id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "client_secret_overlap" ADD CONSTRAINT "client_secret_overlap_secret_id_fkey" FOREIGN KEY ("secret_id") REFERENCES "client_secret"("secret_id") ON DELETE CASCADE ON UPDATE CASCADE;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

ALTER TABLE "client_secret_caller"
  -- A caller chooses its user agent. What is longer was not cut by this service.
  ADD CONSTRAINT "client_secret_caller_texts_short" CHECK (length("address") <= 256 AND length("user_agent") <= 256),
  ADD CONSTRAINT "client_secret_caller_count_positive" CHECK ("count" > 0);
ALTER TABLE "client_secret_overlap"
  ADD CONSTRAINT "client_secret_overlap_unused_positive" CHECK ("unused_seconds" > 0);

CREATE FUNCTION "registry_end_unused_secret"("ended" text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
-- Ends a replaced secret that nobody has used for as long as was said. The service calls this, and its role may change no
-- secret otherwise. So the function asks for itself whether the time has come, and whoever calls it can end nothing
-- earlier. Somebody has to have watched for all that time: a secret that nobody could use was not left unused.
--
-- A minute is added to the time. A process writes what it noted every half minute.
BEGIN
  UPDATE client_secret s SET expires_at = clock_timestamp()
    FROM client_secret_overlap o LEFT JOIN client_secret_use u ON u.secret_id = o.secret_id
   WHERE s.secret_id = ended AND o.secret_id = ended AND s.revoked_at IS NULL
     AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
     AND o.watched_at > clock_timestamp() - interval '3 minutes'
     AND greatest(o.watched_since, u.last_used_at) + (o.unused_seconds + 60) * interval '1 second' < clock_timestamp();
  RETURN FOUND;
END $$;

CREATE FUNCTION "ledger_end_unused_secret"("ended" text, "chain" int, "genesis" bytea, "opened_by" text, "records" jsonb)
RETURNS boolean LANGUAGE plpgsql AS $$
-- The same with its record, in one step. False: another process was faster, or somebody used the secret meanwhile.
BEGIN
  -- Tokens wait behind a change that waits. The next look tries again.
  PERFORM set_config('lock_timeout', '2s', true);
  IF NOT registry_end_unused_secret(ended) THEN
    RETURN false;
  END IF;
  INSERT INTO audit_chain (chain, genesis, opened_by) VALUES ($2, $3, $4);
  PERFORM ledger_append(records);
  RETURN true;
END $$;

DO $$
DECLARE
  ours regprocedure;
BEGIN
  FOR ours IN
    SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = current_schema() AND p.proname IN ('registry_end_unused_secret', 'ledger_end_unused_secret')
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', ours, current_schema());
  END LOOP;
END $$;

-- Trust in other issuers: whose assertions are accepted (RFC 7523), by which keys, and the rules that say which of their
-- workloads may have what. A rule maps to a client, or gives each workload that fits an identity of its own.

-- CreateTable
CREATE TABLE "trusted_issuer" (
    "issuer" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'active',
    "key_source" TEXT NOT NULL DEFAULT 'discovery',
    "keys_url" TEXT,
    "jwks" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "trusted_issuer_pkey" PRIMARY KEY ("issuer")
);

-- CreateTable
CREATE TABLE "trust_rule" (
    "rule" TEXT NOT NULL,
    "issuer" TEXT NOT NULL,
    "conditions" JSONB NOT NULL,
    "client_id" TEXT,
    "access" JSONB,
    "assertion_audience" TEXT NOT NULL DEFAULT 'issuer',
    "assertion_max_age_seconds" INTEGER NOT NULL DEFAULT 3600,
    "assertion_use" TEXT NOT NULL DEFAULT 'once',
    "token_lifetime_seconds" INTEGER,
    "allow_default_service_account" BOOLEAN NOT NULL DEFAULT false,
    "dangerously_any_subject" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "trust_rule_pkey" PRIMARY KEY ("rule")
);

-- CreateTable
CREATE TABLE "workload" (
    "workload_id" TEXT NOT NULL,
    "issuer" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "rule" TEXT NOT NULL,
    "first_seen_at" TIMESTAMPTZ(3) NOT NULL,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "workload_pkey" PRIMARY KEY ("workload_id")
);

-- CreateTable
CREATE TABLE "blocked_workload" (
    "workload_id" TEXT NOT NULL,
    "blocked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "blocked_workload_pkey" PRIMARY KEY ("workload_id")
);

-- CreateIndex
CREATE INDEX "trust_rule_issuer_idx" ON "trust_rule"("issuer");

-- CreateIndex
CREATE INDEX "workload_last_used_at_idx" ON "workload"("last_used_at");

-- AddForeignKey
ALTER TABLE "trust_rule" ADD CONSTRAINT "trust_rule_issuer_fkey" FOREIGN KEY ("issuer") REFERENCES "trusted_issuer"("issuer") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "trust_rule" ADD CONSTRAINT "trust_rule_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "client"("client_id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

ALTER TABLE "trusted_issuer"
  -- A record names it in a field of 256 characters, and is matched by it.
  ADD CONSTRAINT "trusted_issuer_named" CHECK ("issuer" ~ '^(https|spiffe)://[!-~]{1,240}$'),
  ADD CONSTRAINT "trusted_issuer_status_known" CHECK ("status" IN ('active', 'disabled')),
  -- Exactly what its source needs: with two sources, nobody could tell which keys count.
  ADD CONSTRAINT "trusted_issuer_keys_one_source" CHECK (CASE "key_source"
    WHEN 'discovery' THEN "keys_url" IS NULL AND "jwks" IS NULL
    WHEN 'jwks_uri' THEN "keys_url" ~ '^https://' AND "jwks" IS NULL
    WHEN 'spiffe_bundle' THEN "keys_url" ~ '^https://' AND "jwks" IS NULL AND "issuer" ~ '^spiffe://'
    WHEN 'jwks' THEN "keys_url" IS NULL AND jsonb_typeof("jwks") = 'array'
    ELSE false END);
ALTER TABLE "trust_rule"
  ADD CONSTRAINT "trust_rule_named" CHECK ("rule" ~ '^[A-Za-z0-9][A-Za-z0-9._:/@~-]{0,127}$'),
  -- A rule that names no client gives each workload an identity of its own, and has to say what that may have.
  ADD CONSTRAINT "trust_rule_gives_something" CHECK ("client_id" IS NOT NULL OR "access" IS NOT NULL),
  ADD CONSTRAINT "trust_rule_lists" CHECK (jsonb_typeof("conditions") = 'array'
    AND ("access" IS NULL OR jsonb_typeof("access") = 'array')),
  -- Without a condition, everybody whom the issuer ever signs for would fit.
  ADD CONSTRAINT "trust_rule_says_whom" CHECK ("dangerously_any_subject" OR jsonb_array_length("conditions") > 0),
  ADD CONSTRAINT "trust_rule_assertion_audience_known" CHECK ("assertion_audience" IN ('issuer', 'token_endpoint')),
  ADD CONSTRAINT "trust_rule_assertion_use_known" CHECK ("assertion_use" IN ('once', 'until_expiry')),
  ADD CONSTRAINT "trust_rule_assertion_max_age_bounded" CHECK ("assertion_max_age_seconds" BETWEEN 1 AND 86400),
  ADD CONSTRAINT "trust_rule_token_lifetime_bounded" CHECK ("token_lifetime_seconds" BETWEEN 1 AND 86400);
-- No client can have such an id: it begins with what is kept for workloads.
ALTER TABLE "workload"
  ADD CONSTRAINT "workload_id_is_sha256" CHECK ("workload_id" ~ '^workload:[A-Za-z0-9_-]{43}$');
ALTER TABLE "blocked_workload"
  ADD CONSTRAINT "blocked_workload_id_is_sha256" CHECK ("workload_id" ~ '^workload:[A-Za-z0-9_-]{43}$');

CREATE OR REPLACE FUNCTION "registry_settle_notes"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
-- Removes the notes of this transaction about whatever has a record in its chain.
BEGIN
  DELETE FROM registry_unrecorded_change u
   USING (SELECT CASE type WHEN 'client' THEN 'client ' || client_id
                           WHEN 'secret' THEN 'secret ' || credential_id
                           WHEN 'client_key' THEN 'client_key ' || client_id || ' ' || credential_id
                           WHEN 'access' THEN 'access ' || client_id || ' ' || audience
                           WHEN 'resource' THEN 'resource ' || audience
                           WHEN 'issuer' THEN 'issuer ' || credential_id
                           WHEN 'trust_rule' THEN 'trust_rule ' || credential_id
                           WHEN 'workload' THEN 'workload ' || client_id
                           WHEN 'key' THEN 'key ' || kid END AS subject
            FROM audit_record WHERE chain = NEW.chain AND outcome <> 'changed by hand'
           UNION
          SELECT 'manifest' FROM audit_record
           WHERE chain = NEW.chain AND type = 'key' AND outcome <> 'changed by hand') AS recorded
   WHERE u.transaction_id = pg_current_xact_id()::text::bigint AND u.subject = recorded.subject;
  RETURN NULL;
END $$;

-- A change of these moves the version of the registry, and is noted if a hand made it. `workload` is neither: its rows
-- say when somebody was seen, and give and take nothing.
DO $$
DECLARE
  watched record;
BEGIN
  FOR watched IN
    SELECT * FROM (VALUES
      ('trusted_issuer', 'issuer', 'issuer', '{issuer,issuer}', '{issuer}'),
      ('trust_rule', 'issuer', 'issuer', '{trust_rule,rule}', '{rule}'),
      ('blocked_workload', 'workload', 'workload_id', '{workload,workload_id}', '{workload_id}')
    ) AS t (table_name, subject, id_column, noted, key)
  LOOP
    EXECUTE format('CREATE TRIGGER registry_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change(%L, %L)',
      watched.table_name, watched.subject, watched.id_column);
    EXECUTE format('CREATE TRIGGER registry_updated AFTER UPDATE ON %I
      REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change(%L, %L)',
      watched.table_name, watched.subject, watched.id_column);
    EXECUTE format('CREATE TRIGGER registry_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change(%L, %L)',
      watched.table_name, watched.subject, watched.id_column);
    EXECUTE format('CREATE TRIGGER registry_truncated AFTER TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change(%L, %L)',
      watched.table_name, watched.subject, watched.id_column);
    EXECUTE format('CREATE TRIGGER registry_noted_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.noted, '{}', watched.key);
    EXECUTE format('CREATE TRIGGER registry_noted_update AFTER UPDATE ON %I
      REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.noted, '{}', watched.key);
    EXECUTE format('CREATE TRIGGER registry_noted_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.noted, '{}', watched.key);
    EXECUTE format('CREATE TRIGGER registry_noted_truncate AFTER TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.noted, '{}', watched.key);
  END LOOP;
  -- A function that is replaced loses its settings.
  EXECUTE format('ALTER FUNCTION registry_settle_notes() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;

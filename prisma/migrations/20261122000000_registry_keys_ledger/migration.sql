-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateTable
CREATE TABLE "resource" (
    "audience" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "scopes" TEXT[],
    "token_lifetime_seconds" INTEGER NOT NULL DEFAULT 300,
    "signing_algorithm" TEXT NOT NULL DEFAULT 'ES256',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "resource_pkey" PRIMARY KEY ("audience")
);

-- CreateTable
CREATE TABLE "client" (
    "client_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "token_endpoint_auth_method" TEXT NOT NULL DEFAULT 'client_secret_basic',
    "status" TEXT NOT NULL DEFAULT 'active',
    "allowed_networks" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "expires_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "client_pkey" PRIMARY KEY ("client_id")
);

-- CreateTable
CREATE TABLE "client_secret" (
    "secret_id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "hint" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "client_secret_pkey" PRIMARY KEY ("secret_id")
);

-- CreateTable
CREATE TABLE "client_secret_use" (
    "secret_id" TEXT NOT NULL,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "client_secret_use_pkey" PRIMARY KEY ("secret_id")
);

-- CreateTable
CREATE TABLE "access" (
    "client_id" TEXT NOT NULL,
    "audience" TEXT NOT NULL,
    "scopes" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "access_pkey" PRIMARY KEY ("client_id","audience")
);

-- CreateTable
CREATE TABLE "signing_key" (
    "kid" TEXT NOT NULL,
    "algorithm" TEXT NOT NULL,
    "generation" INTEGER NOT NULL,
    "public_jwk" JSONB NOT NULL,
    "sealed_private_key" BYTEA NOT NULL,
    "key_encryption_key_id" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "published_at" TIMESTAMPTZ(3) NOT NULL,
    "signs_from" TIMESTAMPTZ(3) NOT NULL,
    "signs_until" TIMESTAMPTZ(3) NOT NULL,
    "published_until" TIMESTAMPTZ(3) NOT NULL,
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "signing_key_pkey" PRIMARY KEY ("kid")
);

-- CreateTable
CREATE TABLE "verifier" (
    "name" TEXT NOT NULL,
    "named" BOOLEAN NOT NULL,
    "address" TEXT NOT NULL,
    "user_agent" TEXT,
    "last_fetched_at" TIMESTAMPTZ(3) NOT NULL,
    "kids" TEXT[],

    CONSTRAINT "verifier_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "registry_version" (
    "only" BOOLEAN NOT NULL DEFAULT true,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "registry_version_pkey" PRIMARY KEY ("only")
);

-- CreateTable
CREATE TABLE "registry_change_set" (
    "set_id" BIGSERIAL NOT NULL,
    "version" BIGINT,

    CONSTRAINT "registry_change_set_pkey" PRIMARY KEY ("set_id")
);

-- CreateTable
CREATE TABLE "registry_change" (
    "set_id" BIGINT NOT NULL,
    "subject" TEXT NOT NULL,
    "subject_id" TEXT NOT NULL,

    CONSTRAINT "registry_change_pkey" PRIMARY KEY ("set_id","subject","subject_id")
);

-- CreateTable
CREATE TABLE "audit_chain" (
    "chain" SERIAL NOT NULL,
    "genesis" BYTEA NOT NULL,
    "opened_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "opened_by" TEXT NOT NULL,

    CONSTRAINT "audit_chain_pkey" PRIMARY KEY ("chain")
);

-- CreateTable
CREATE TABLE "audit_record" (
    "chain" INTEGER NOT NULL,
    "seq" BIGINT NOT NULL,
    "time" TIMESTAMPTZ(3) NOT NULL,
    "type" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "error" TEXT,
    "reason" TEXT,
    "client_id" TEXT,
    "authentication_method" TEXT,
    "credential_id" TEXT,
    "audience" TEXT,
    "scope" TEXT,
    "jti" UUID,
    "kid" TEXT,
    "expires_at" TIMESTAMPTZ(0),
    "address" TEXT,
    "user_agent" TEXT,
    "request_id" TEXT,
    "count" INTEGER NOT NULL DEFAULT 1,
    "detail" TEXT,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_record_pkey" PRIMARY KEY ("chain","seq")
);

-- CreateIndex
CREATE INDEX "client_secret_client_id_idx" ON "client_secret"("client_id");

-- CreateIndex
CREATE INDEX "access_audience_idx" ON "access"("audience");

-- CreateIndex
CREATE UNIQUE INDEX "signing_key_algorithm_generation_key" ON "signing_key"("algorithm", "generation");

-- CreateIndex
CREATE INDEX "verifier_last_fetched_at_idx" ON "verifier"("last_fetched_at");

-- CreateIndex
CREATE INDEX "registry_change_set_version_idx" ON "registry_change_set"("version");

-- CreateIndex
CREATE INDEX "audit_record_time_idx" ON "audit_record" USING BRIN ("time");

-- CreateIndex
CREATE INDEX "audit_record_client_id_time_idx" ON "audit_record"("client_id", "time");

-- CreateIndex
CREATE INDEX "audit_record_jti_idx" ON "audit_record"("jti");

-- AddForeignKey
ALTER TABLE "client_secret" ADD CONSTRAINT "client_secret_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "client"("client_id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "client_secret_use" ADD CONSTRAINT "client_secret_use_secret_id_fkey" FOREIGN KEY ("secret_id") REFERENCES "client_secret"("secret_id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "access" ADD CONSTRAINT "access_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "client"("client_id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "access" ADD CONSTRAINT "access_audience_fkey" FOREIGN KEY ("audience") REFERENCES "resource"("audience") ON DELETE RESTRICT ON UPDATE CASCADE;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

-- ─── Values ──────────────────────────────────────────────────────────────────────────────────────────
-- Checked here as well as in the program, because "even a hand-written UPDATE takes effect at once"
-- includes the mistyped ones.

ALTER TABLE "client"
  ADD CONSTRAINT "client_status_known" CHECK ("status" IN ('active', 'disabled', 'deleted')),
  ADD CONSTRAINT "client_id_printable" CHECK ("client_id" ~ '^[!-~]{1,128}$');
ALTER TABLE "resource"
  ADD CONSTRAINT "resource_token_lifetime_bounded" CHECK ("token_lifetime_seconds" BETWEEN 1 AND 86400),
  ADD CONSTRAINT "resource_signing_algorithm_known"
    CHECK ("signing_algorithm" IN ('ES256', 'EdDSA', 'PS256', 'RS256'));
ALTER TABLE "signing_key"
  ADD CONSTRAINT "signing_key_generation_positive" CHECK ("generation" > 0),
  ADD CONSTRAINT "signing_key_moments_in_order"
    CHECK ("published_at" <= "signs_from" AND "signs_from" <= "signs_until" AND "signs_until" <= "published_until");
ALTER TABLE "registry_version"
  ADD CONSTRAINT "registry_version_one_row" CHECK ("only");
ALTER TABLE "audit_record"
  ADD CONSTRAINT "audit_record_hash_is_sha256" CHECK (length("hash") = 32);

INSERT INTO "registry_version" ("only", "version") VALUES (true, 0);

-- ─── The registry's version ──────────────────────────────────────────────────────────────────────────
-- Every statement that changes the registry leaves a change set: which clients, resources and keys it
-- touched. The set gets its version, and the version row its next number, at the very end of the
-- transaction (a deferred trigger), under a lock that every ledger commit shares. So:
--
--   * a commit either comes before the change, or sees the new version and writes nothing;
--   * the lock is held for the length of a COMMIT and not of a transaction: somebody who leaves an UPDATE
--     open in psql and goes to lunch stops nothing.
--
-- The lock is (1296649043, 1): "MIMS" as a number, and 1 for the registry.

CREATE FUNCTION "registry_note_change"() RETURNS trigger LANGUAGE plpgsql AS $$
-- Arguments: the subject, and the column that holds its id.
DECLARE
  next_set bigint := nextval(pg_get_serial_sequence('registry_change_set', 'set_id'));
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    INSERT INTO registry_change (set_id, subject, subject_id) VALUES (next_set, TG_ARGV[0], '*');
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO registry_change (set_id, subject, subject_id)
      SELECT DISTINCT next_set, TG_ARGV[0], to_jsonb(r) ->> TG_ARGV[1] FROM new_rows r;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO registry_change (set_id, subject, subject_id)
      SELECT DISTINCT next_set, TG_ARGV[0], to_jsonb(r) ->> TG_ARGV[1] FROM old_rows r;
  ELSE
    INSERT INTO registry_change (set_id, subject, subject_id)
      SELECT next_set, TG_ARGV[0], to_jsonb(r) ->> TG_ARGV[1] FROM old_rows r
      UNION
      SELECT next_set, TG_ARGV[0], to_jsonb(r) ->> TG_ARGV[1] FROM new_rows r;
  END IF;
  IF FOUND THEN
    INSERT INTO registry_change_set (set_id) VALUES (next_set);
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION "registry_publish_change"() RETURNS trigger LANGUAGE plpgsql AS $$
-- Gives all change sets of this transaction one version. A version is a counter with a tail of twenty random
-- bits: histories that parted (a failover that lost the last changes, a restored backup) go on with the same
-- counters and different versions, and so cannot be taken for each other.
DECLARE
  next_version bigint;
  kept CONSTANT bigint := 10000;
BEGIN
  -- Published already, with the first set of this transaction.
  PERFORM 1 FROM registry_change_set WHERE set_id = NEW.set_id AND version IS NULL;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock(1296649043, 1);
  UPDATE registry_version SET version = (((version >> 20) + 1) << 20) + floor(random() * 1048576)::bigint
    RETURNING version INTO STRICT next_version;
  -- Sets of other transactions are not visible before they have a version, so these are all our own.
  UPDATE registry_change_set SET version = next_version WHERE version IS NULL;
  -- A replica that is further behind than this forgets everything instead.
  DELETE FROM registry_change WHERE set_id IN
    (SELECT set_id FROM registry_change_set WHERE version <= next_version - (kept << 20));
  DELETE FROM registry_change_set WHERE version <= next_version - (kept << 20);
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER "registry_change_set_publish"
  AFTER INSERT ON "registry_change_set" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION "registry_publish_change"();

DO $$
DECLARE
  watched record;
BEGIN
  FOR watched IN
    SELECT * FROM (VALUES
      ('client', 'client', 'client_id'),
      ('client_secret', 'client', 'client_id'),
      ('access', 'client', 'client_id'),
      ('resource', 'resource', 'audience'),
      ('signing_key', 'signing_key', 'kid')
    ) AS t (table_name, subject, id_column)
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
  END LOOP;
END $$;

-- ─── The ledger ──────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION "ledger_append"("records" jsonb) RETURNS void LANGUAGE sql AS $$
-- Each record is an array in the order of its canonical form (src/ledger/chain.ts), its hash in hex last.
  INSERT INTO audit_record (
    chain, seq, time, type, outcome, error, reason, client_id, authentication_method, credential_id,
    audience, scope, jti, kid, expires_at, address, user_agent, request_id, count, detail, hash)
  SELECT
    (r ->> 0)::int, (r ->> 1)::bigint, timestamptz 'epoch' + (r ->> 2)::bigint * interval '1 millisecond',
    r ->> 3, r ->> 4, r ->> 5, r ->> 6, r ->> 7, r ->> 8, r ->> 9,
    r ->> 10, r ->> 11, (r ->> 12)::uuid, r ->> 13, timestamptz 'epoch' + (r ->> 14)::bigint * interval '1 second',
    r ->> 15, r ->> 16, r ->> 17, (r ->> 18)::int, r ->> 19, decode(r ->> 20, 'hex')
  FROM jsonb_array_elements(records) AS r;
$$;

CREATE FUNCTION "ledger_commit"("expected_version" bigint, "records" jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
-- The commit: writes the records if the registry is still at the expected version, and answers with the
-- version it is at. Any other answer than the expected one means: stale, nothing was written.
DECLARE
  current_version bigint;
BEGIN
  -- Under any other isolation the version would be read as it was before the lock was waited for.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'ledger_commit needs READ COMMITTED, and this is %', current_setting('transaction_isolation');
  END IF;
  -- A statement of its own, so that the next one sees whatever was committed while this one waited.
  PERFORM pg_advisory_xact_lock_shared(1296649043, 1);
  SELECT version INTO STRICT current_version FROM registry_version;
  IF current_version <> expected_version THEN
    RETURN current_version;
  END IF;
  -- The promise is durability; a server or role configured for speed does not change it.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  PERFORM ledger_append(records);
  RETURN current_version;
END $$;

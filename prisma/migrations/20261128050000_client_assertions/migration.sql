-- Clients that prove themselves with a signed assertion (RFC 7523): the public keys that they are known by, what their
-- assertions may name as audience, and the identifiers that were used and must not be used again.
--
-- The lock is asked for again and again, and never for long: a token would wait behind this while this waits for
-- somebody who reads the table, a backup for instance.
DO $$
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      LOCK TABLE "client" IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
END $$;

-- AlterTable
ALTER TABLE "client" ADD COLUMN     "assertion_audience" TEXT NOT NULL DEFAULT 'issuer';

-- CreateTable
CREATE TABLE "client_key" (
    "client_id" TEXT NOT NULL,
    "thumbprint" TEXT NOT NULL,
    "kid" TEXT,
    "algorithm" TEXT NOT NULL,
    "public_jwk" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "client_key_pkey" PRIMARY KEY ("client_id","thumbprint")
);

-- CreateTable
CREATE TABLE "client_key_use" (
    "client_id" TEXT NOT NULL,
    "thumbprint" TEXT NOT NULL,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL,
    "token_endpoint_audience_count" BIGINT NOT NULL DEFAULT 0,
    "token_endpoint_audience_at" TIMESTAMPTZ(3),

    CONSTRAINT "client_key_use_pkey" PRIMARY KEY ("client_id","thumbprint")
);

-- CreateTable
CREATE TABLE "spent_identifier" (
    "digest" BYTEA NOT NULL,
    "expires_at" TIMESTAMPTZ(0) NOT NULL,

    CONSTRAINT "spent_identifier_pkey" PRIMARY KEY ("digest")
);

-- CreateIndex
CREATE INDEX "spent_identifier_expires_at_idx" ON "spent_identifier"("expires_at");

-- AddForeignKey
ALTER TABLE "client_key" ADD CONSTRAINT "client_key_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "client"("client_id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "client_key_use" ADD CONSTRAINT "client_key_use_client_id_thumbprint_fkey" FOREIGN KEY ("client_id", "thumbprint") REFERENCES "client_key"("client_id", "thumbprint") ON DELETE CASCADE ON UPDATE CASCADE;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

ALTER TABLE "client" ADD CONSTRAINT "client_assertion_audience_known"
  CHECK ("assertion_audience" IN ('issuer', 'token_endpoint'));
ALTER TABLE "client_key"
  ADD CONSTRAINT "client_key_thumbprint_is_sha256" CHECK ("thumbprint" ~ '^[A-Za-z0-9_-]{43}$'),
  ADD CONSTRAINT "client_key_algorithm_known" CHECK ("algorithm" IN ('ES256', 'EdDSA', 'PS256', 'RS256')),
  -- Members of private keys (RFC 7518 §6). A private key that got here would be in every backup.
  ADD CONSTRAINT "client_key_is_public"
    CHECK (jsonb_typeof("public_jwk") = 'object'
      AND NOT "public_jwk" ?| ARRAY['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']);
ALTER TABLE "spent_identifier"
  ADD CONSTRAINT "spent_identifier_digest_is_sha256" CHECK (length("digest") = 32);

-- A change of a key is a change of its client.
CREATE TRIGGER registry_inserted AFTER INSERT ON "client_key" REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('client', 'client_id');
CREATE TRIGGER registry_updated AFTER UPDATE ON "client_key" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('client', 'client_id');
CREATE TRIGGER registry_deleted AFTER DELETE ON "client_key" REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('client', 'client_id');
CREATE TRIGGER registry_truncated AFTER TRUNCATE ON "client_key"
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('client', 'client_id');

-- So is a change that somebody makes with SQL: it is noted, unless its transaction has a record of it.
CREATE TRIGGER registry_noted_insert AFTER INSERT ON "client_key" REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows('{client_key,client_id,thumbprint}', '{}', '{client_id,thumbprint}');
CREATE TRIGGER registry_noted_update AFTER UPDATE ON "client_key"
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows('{client_key,client_id,thumbprint}', '{}', '{client_id,thumbprint}');
CREATE TRIGGER registry_noted_delete AFTER DELETE ON "client_key" REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows('{client_key,client_id,thumbprint}', '{}', '{client_id,thumbprint}');
CREATE TRIGGER registry_noted_truncate AFTER TRUNCATE ON "client_key"
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows('{client_key,client_id,thumbprint}', '{}', '{client_id,thumbprint}');

CREATE OR REPLACE FUNCTION "registry_settle_notes"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
-- Removes the notes of this transaction about whatever has a record in its chain.
BEGIN
  DELETE FROM registry_unrecorded_change u
   USING (SELECT CASE type WHEN 'client' THEN 'client ' || client_id
                           WHEN 'secret' THEN 'secret ' || credential_id
                           WHEN 'client_key' THEN 'client_key ' || client_id || ' ' || credential_id
                           WHEN 'access' THEN 'access ' || client_id || ' ' || audience
                           WHEN 'resource' THEN 'resource ' || audience
                           WHEN 'key' THEN 'key ' || kid END AS subject
            FROM audit_record WHERE chain = NEW.chain AND outcome <> 'changed by hand'
           UNION
          SELECT 'manifest' FROM audit_record
           WHERE chain = NEW.chain AND type = 'key' AND outcome <> 'changed by hand') AS recorded
   WHERE u.transaction_id = pg_current_xact_id()::text::bigint AND u.subject = recorded.subject;
  RETURN NULL;
END $$;

CREATE FUNCTION "ledger_commit_once"("expected_version" bigint, "records" jsonb, "identifiers" jsonb) RETURNS text
LANGUAGE plpgsql AS $$
-- A commit of records that use identifiers once. Each identifier is an array: its digest in hex, and when it expires
-- in seconds since 1970. The answer is the version of the registry. Behind it stand the places of the identifiers
-- that were used before, counted from 0: '7340032 0,3'. Then nothing was written, as with any other version.
DECLARE
  current_version bigint;
  used text;
BEGIN
  -- Takes the lock that every commit shares, and checks what every commit checks.
  current_version := ledger_commit(expected_version, '[]');
  IF current_version <> expected_version THEN
    RETURN current_version;
  END IF;
  -- In one order everywhere: two processes with the same identifiers wait for each other, and not in a circle.
  WITH given AS (
    SELECT decode(i ->> 0, 'hex') AS digest, timestamptz 'epoch' + (i ->> 1)::bigint * interval '1 second' AS expires_at,
           place - 1 AS place
      FROM jsonb_array_elements(identifiers) WITH ORDINALITY AS g (i, place)
  ), inserted AS (
    INSERT INTO spent_identifier AS s (digest, expires_at)
      SELECT digest, expires_at FROM given ORDER BY digest
      ON CONFLICT (digest) DO NOTHING RETURNING s.digest
  )
  SELECT string_agg(given.place::text, ',' ORDER BY given.place) INTO used
    FROM given WHERE NOT EXISTS (SELECT 1 FROM inserted WHERE inserted.digest = given.digest);
  IF used IS NOT NULL THEN
    DELETE FROM spent_identifier USING jsonb_array_elements(identifiers) WITH ORDINALITY AS g (i, place)
     WHERE digest = decode(i ->> 0, 'hex') AND (place - 1)::text <> ALL (string_to_array(used, ','));
    RETURN current_version || ' ' || used;
  END IF;
  PERFORM ledger_append(records);
  RETURN current_version;
END $$;

DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION ledger_commit_once(bigint, jsonb, jsonb) SET search_path = pg_catalog, %I, pg_temp',
    current_schema());
  -- A function that is replaced loses its settings.
  EXECUTE format('ALTER FUNCTION registry_settle_notes() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;

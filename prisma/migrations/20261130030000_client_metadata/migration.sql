-- Clients that publish a document about themselves (Client ID Metadata Documents): a trusted issuer may be the beginning of the
-- addresses of such documents. And who answers for an issuer, whatever it is.
--
-- The lock is asked for again and again, and never for long: a token would wait behind this while this waits for
-- somebody who reads the table, a backup for instance.
DO $$
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      LOCK TABLE "trusted_issuer" IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
END $$;

-- AlterTable
ALTER TABLE "trusted_issuer" ADD COLUMN     "owner" TEXT;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

-- One row and not a table of its own: what such clients may have is said by rules, as of any other workload, and is sealed,
-- recorded and taken away in the same way.
ALTER TABLE "trusted_issuer"
  DROP CONSTRAINT "trusted_issuer_keys_one_source",
  -- Exactly what its source needs: with two sources, nobody could tell which keys count.
  ADD CONSTRAINT "trusted_issuer_keys_one_source" CHECK (CASE "key_source"
    WHEN 'discovery' THEN "keys_url" IS NULL AND "jwks" IS NULL
    WHEN 'jwks_uri' THEN "keys_url" ~ '^https://' AND "jwks" IS NULL
    WHEN 'spiffe_bundle' THEN "keys_url" ~ '^https://' AND "jwks" IS NULL AND "issuer" ~ '^spiffe://'
    WHEN 'jwks' THEN "keys_url" IS NULL AND jsonb_typeof("jwks") = 'array'
    -- It ends with a slash: otherwise https://good.example would also mean https://good.example.evil.
    WHEN 'client_metadata' THEN "keys_url" IS NULL AND "jwks" IS NULL AND "issuer" ~ '^https://[^/?#@%]+/([^?#@%]+/)?$'
    ELSE false END),
  -- As long as that of a client.
  ADD CONSTRAINT "trusted_issuer_owner_bounded" CHECK (length("owner") BETWEEN 1 AND 200);

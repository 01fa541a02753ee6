-- Clients that publish the keys of their assertions themselves (RFC 7591 §2): where these are.
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
ALTER TABLE "client" ADD COLUMN     "jwks_uri" TEXT;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

-- Nothing else is fetched from, and it would only fail later.
ALTER TABLE "client" ADD CONSTRAINT "client_jwks_uri_is_https" 
  CHECK ("jwks_uri" ~ '^https://[!-~]+$' AND length("jwks_uri") <= 512);

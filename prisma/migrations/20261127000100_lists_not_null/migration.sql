-- A list that is NULL, or has a NULL in it, means nothing. No scopes are an empty list. No networks would be "from
-- everywhere", so a client whose networks were NULL, and who was refused for that, may call from an address that nobody
-- has. The conditions are checks, because Prisma's schema has no lists that are NOT NULL.
--
-- The locks are asked for again and again, and never for long: a token would wait behind this while this waits for
-- somebody who reads a table, a backup for instance.
DO $$
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      LOCK TABLE "access", "resource", "client", "verifier" IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
END $$;

UPDATE "access" SET "scopes" = coalesce(array_remove("scopes", NULL), '{}')
  WHERE "scopes" IS NULL OR array_position("scopes", NULL) IS NOT NULL;
UPDATE "resource" SET "scopes" = coalesce(array_remove("scopes", NULL), '{}')
  WHERE "scopes" IS NULL OR array_position("scopes", NULL) IS NOT NULL;
UPDATE "client"
  SET "allowed_networks" = coalesce(array_replace("allowed_networks", NULL, '255.255.255.255/32'), '{255.255.255.255/32}')
  WHERE "allowed_networks" IS NULL OR array_position("allowed_networks", NULL) IS NOT NULL;
UPDATE "verifier" SET "kids" = '{}' WHERE "kids" IS NULL;

-- A table with changes that wait for their deferred triggers cannot be altered.
SET CONSTRAINTS ALL IMMEDIATE;

ALTER TABLE "access" ADD CONSTRAINT "access_scopes_not_null"
  CHECK ("scopes" IS NOT NULL AND array_position("scopes", NULL) IS NULL);
ALTER TABLE "resource" ADD CONSTRAINT "resource_scopes_not_null"
  CHECK ("scopes" IS NOT NULL AND array_position("scopes", NULL) IS NULL);
ALTER TABLE "client" ADD CONSTRAINT "client_allowed_networks_not_null"
  CHECK ("allowed_networks" IS NOT NULL AND array_position("allowed_networks", NULL) IS NULL);
ALTER TABLE "verifier" ADD CONSTRAINT "verifier_kids_not_null" CHECK ("kids" IS NOT NULL);

-- Audiences of somebody else (clouds, API providers), and claims that are registered with a client or a resource.
--
-- The lock is asked for again and again, and never for long: a token would wait behind this while this waits for
-- somebody who reads the tables, a backup for instance.
DO $$
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      LOCK TABLE "resource", "client" IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
END $$;

-- AlterTable
ALTER TABLE "client" ADD COLUMN     "claims" JSONB;

-- AlterTable
ALTER TABLE "resource" ADD COLUMN     "claims" JSONB,
ADD COLUMN     "external" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "subject_form" TEXT;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

-- A service of our own reads the id of the client as `sub` (RFC 9068 §2.2), so only other people get another one. A form
-- without the id would give all clients one subject.
ALTER TABLE "resource"
  ADD CONSTRAINT "resource_subject_form_external" CHECK ("subject_form" IS NULL OR "external"),
  ADD CONSTRAINT "resource_subject_form_has_client" CHECK (
    length("subject_form") <= 128 AND "subject_form" ~ '^[!-z|~]*[{]client_id[}][!-z|~]*$'),
  -- Every token carries them. What they may be called is judged by the service, which refuses to issue where it is not met.
  ADD CONSTRAINT "resource_claims_bounded" CHECK (jsonb_typeof("claims") = 'object' AND length("claims"::text) <= 8192);

ALTER TABLE "client"
  ADD CONSTRAINT "client_claims_bounded" CHECK (jsonb_typeof("claims") = 'object' AND length("claims"::text) <= 8192);

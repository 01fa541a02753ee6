-- Clients that prove themselves with a certificate (RFC 8705): what names them in it, what a certificate must name that they
-- bring in addition to a secret or an assertion, and whether their tokens are bound to it.
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
ALTER TABLE "client" ADD COLUMN     "certificate_bound_tokens" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "certificate_field" TEXT,
ADD COLUMN     "certificate_value" TEXT,
ADD COLUMN     "required_certificate_field" TEXT,
ADD COLUMN     "required_certificate_value" TEXT;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

ALTER TABLE "client"
  ADD CONSTRAINT "client_certificate_field_known"
    CHECK ("certificate_field" ~ '^tls_client_auth_(subject_dn|san_(dns|uri|ip|email))$'),
  ADD CONSTRAINT "client_required_certificate_field_known"
    CHECK ("required_certificate_field" ~ '^tls_client_auth_(subject_dn|san_(dns|uri|ip|email))$'),
  -- A field without a value, or a value without a field, would be read as none: what is required would be forgotten.
  ADD CONSTRAINT "client_certificate_complete"
    CHECK (("certificate_field" IS NULL) = ("certificate_value" IS NULL)),
  ADD CONSTRAINT "client_required_certificate_complete"
    CHECK (("required_certificate_field" IS NULL) = ("required_certificate_value" IS NULL));

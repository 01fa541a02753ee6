-- Clients that are held to the FAPI 2.0 Security Profile, and rules of trusted issuers that ask for more than an assertion:
-- a certificate, or a proof of a key (RFC 9449).
--
-- The lock is asked for again and again, and never for long: a token would wait behind this while this waits for
-- somebody who reads the table, a backup for instance.
DO $$
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  LOOP
    BEGIN
      LOCK TABLE "client", "trust_rule" IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
END $$;

-- AlterTable
ALTER TABLE "client" ADD COLUMN     "fapi" BOOLEAN NOT NULL DEFAULT false;

-- AlterTable
ALTER TABLE "trust_rule" ADD COLUMN     "require_dpop" TEXT,
ADD COLUMN     "required_certificate_field" TEXT,
ADD COLUMN     "required_certificate_value" TEXT;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

ALTER TABLE "client"
  -- What the profile asks of a registration. A row that says it is held to the profile and is not would be believed by
  -- whoever reads it. The service decides again with every request, so nothing depends on this line alone.
  ADD CONSTRAINT "client_fapi_held" CHECK (NOT "fapi" OR (
    coalesce("token_endpoint_auth_method" IN
      ('private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'federated_jwt'), false)
    AND "assertion_audience" = 'issuer'
    AND ("dpop_bound_access_tokens" OR "certificate_bound_tokens")));
ALTER TABLE "trust_rule"
  ADD CONSTRAINT "trust_rule_require_dpop_known" CHECK ("require_dpop" IN ('any_key', 'confirmed_key')),
  ADD CONSTRAINT "trust_rule_required_certificate_field_known"
    CHECK ("required_certificate_field" ~ '^tls_client_auth_(subject_dn|san_(dns|uri|ip|email))$'),
  -- A field without a value, or a value without a field, would be read as none: what is required would be forgotten.
  ADD CONSTRAINT "trust_rule_required_certificate_complete"
    CHECK (("required_certificate_field" IS NULL) = ("required_certificate_value" IS NULL));

-- All signing keys together, vouched for by a holder of the key-encryption key. A row of signing_key that is not in
-- here, or differs from what stands here, is neither published nor used.

-- CreateTable
CREATE TABLE "signing_key_manifest" (
    "only" BOOLEAN NOT NULL DEFAULT true,
    "number" BIGINT NOT NULL,
    "key_encryption_key_id" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "mac" BYTEA NOT NULL,

    CONSTRAINT "signing_key_manifest_pkey" PRIMARY KEY ("only")
);

ALTER TABLE "signing_key_manifest"
  ADD CONSTRAINT "signing_key_manifest_one_row" CHECK ("only");

-- A manifest that changes is a change of the keys: every replica reads them again.
CREATE TRIGGER registry_inserted AFTER INSERT ON "signing_key_manifest" REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('signing_key', 'number');
CREATE TRIGGER registry_updated AFTER UPDATE ON "signing_key_manifest"
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('signing_key', 'number');
CREATE TRIGGER registry_deleted AFTER DELETE ON "signing_key_manifest" REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('signing_key', 'number');
CREATE TRIGGER registry_truncated AFTER TRUNCATE ON "signing_key_manifest"
  FOR EACH STATEMENT EXECUTE FUNCTION registry_note_change('signing_key', 'number');

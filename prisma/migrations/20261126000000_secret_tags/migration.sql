-- Verified secrets are remembered across restarts. The table has no trigger of the registry: a tag gives nobody
-- anything, so writing one is no change of the registry.

-- CreateTable
CREATE TABLE "client_secret_tag" (
    "secret_id" TEXT NOT NULL,
    "key_encryption_key_id" TEXT NOT NULL,
    "tag" BYTEA NOT NULL,
    "seal" BYTEA NOT NULL,
    "written_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "client_secret_tag_pkey" PRIMARY KEY ("secret_id")
);

-- AddForeignKey
ALTER TABLE "client_secret_tag" ADD CONSTRAINT "client_secret_tag_secret_id_fkey" FOREIGN KEY ("secret_id") REFERENCES "client_secret"("secret_id") ON DELETE CASCADE ON UPDATE CASCADE;

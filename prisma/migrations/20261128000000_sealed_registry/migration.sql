-- What holders of the key-encryption key registered, for MINTMARK_SEALED_REGISTRY. Rows of client, client_secret, access
-- and resource count only as far as these tables say the same. The tables are empty until somebody seals the registry.
-- They have no trigger of the registry: whoever seals a change also changes its rows, or notes the change.

-- CreateTable
CREATE TABLE "sealed_registry_head" (
    "only" BOOLEAN NOT NULL DEFAULT true,
    "number" BIGINT NOT NULL,
    "key_encryption_key_id" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "mac" BYTEA NOT NULL,

    CONSTRAINT "sealed_registry_head_pkey" PRIMARY KEY ("only")
);

-- CreateTable
CREATE TABLE "sealed_registry_node" (
    "node" TEXT NOT NULL,
    "content" TEXT NOT NULL,

    CONSTRAINT "sealed_registry_node_pkey" PRIMARY KEY ("node")
);

ALTER TABLE "sealed_registry_head"
  ADD CONSTRAINT "sealed_registry_head_one_row" CHECK ("only");

-- Whom a client belongs to and what it is for, who created it, and when it was last used.
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
ALTER TABLE "client" ADD COLUMN     "created_by" TEXT,
ADD COLUMN     "kind" TEXT,
ADD COLUMN     "owner" TEXT,
ADD COLUMN     "purpose" TEXT;

-- CreateTable
CREATE TABLE "client_use" (
    "client_id" TEXT NOT NULL,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "client_use_pkey" PRIMARY KEY ("client_id")
);

-- AddForeignKey
ALTER TABLE "client_use" ADD CONSTRAINT "client_use_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "client"("client_id") ON DELETE CASCADE ON UPDATE CASCADE;

-- ═══ What Prisma's schema cannot say ═════════════════════════════════════════════════════════════════

ALTER TABLE "client"
  ADD CONSTRAINT "client_kind_known" CHECK ("kind" IN ('service', 'job', 'agent')),
  -- They are shown in lists, which would be of no use with a book in a line.
  ADD CONSTRAINT "client_texts_bounded"
    CHECK (length("owner") <= 200 AND length("purpose") <= 500 AND length("created_by") <= 200);

-- What is known of clients that were used before there was this table.
INSERT INTO "client_use" ("client_id", "last_used_at")
SELECT client_id, max(last_used_at)
  FROM (SELECT client_id, last_used_at FROM "client_secret_use" JOIN "client_secret" USING (secret_id)
        UNION ALL SELECT client_id, last_used_at FROM "client_key_use") AS used
 GROUP BY client_id;

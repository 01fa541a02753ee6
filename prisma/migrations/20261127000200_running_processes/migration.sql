-- The processes that serve, each with the settings that all on one database must share.

-- CreateTable
CREATE TABLE "running_process" (
    "process_id" UUID NOT NULL,
    "described" TEXT NOT NULL,
    "settings" JSONB NOT NULL,
    "started_at" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),
    "seen_at" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "running_process_pkey" PRIMARY KEY ("process_id")
);

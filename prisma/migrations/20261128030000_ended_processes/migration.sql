-- A process that has ended stays noted for as long as caches may hold the keys that it served: a later process may have
-- a shorter max-age, and a new key has to wait for the longer one.

-- AlterTable
ALTER TABLE "running_process" ADD COLUMN "ended_at" TIMESTAMPTZ(6);

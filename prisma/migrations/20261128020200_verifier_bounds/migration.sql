-- Anybody may fetch the keys under a made-up name. So each network of callers has a number of rows, and a name that came
-- back for days is not pushed out by one that was made up a minute ago. Processes of the release before write neither
-- column.

-- AlterTable
ALTER TABLE "verifier" ADD COLUMN     "first_fetched_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
ADD COLUMN     "network" TEXT;

-- Those that are known already came back, as far as anybody can tell.
UPDATE "verifier" SET "first_fetched_at" = "last_fetched_at" - interval '1 day', "network" = "address";

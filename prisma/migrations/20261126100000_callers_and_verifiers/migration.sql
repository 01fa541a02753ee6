-- A client for which no method is named may use any. Rows that exist keep theirs: nobody can tell which of them
-- were named and which only got the old default, and an upgrade must not accept what was refused before. A process of
-- the release before refuses clients without a method, and does not look at token_typ.

-- Both tables are read for tokens. Each statement takes a moment once it has its lock.
SET lock_timeout = '2s';

-- AlterTable
ALTER TABLE "client" ALTER COLUMN "token_endpoint_auth_method" DROP NOT NULL,
ALTER COLUMN "token_endpoint_auth_method" DROP DEFAULT;

-- AlterTable
ALTER TABLE "resource" ADD COLUMN     "token_typ" TEXT NOT NULL DEFAULT 'at+jwt';

-- What Prisma's schema cannot say.
ALTER TABLE "resource" ADD CONSTRAINT "resource_token_typ_known" CHECK ("token_typ" IN ('at+jwt', 'JWT'));

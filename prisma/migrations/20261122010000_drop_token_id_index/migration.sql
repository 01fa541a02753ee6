-- A token's id begins with its moment (UUID version 7), and so does its record: the index on time finds it, and
-- one of its own would be 31 bytes of every record for nothing. Ids from before that were random; they are still
-- found, by reading everything.
-- Concurrently, and so alone in its file: otherwise it would wait for everybody who reads the ledger, a backup for
-- instance, and every token would wait behind it.
DROP INDEX CONCURRENTLY "audit_record_jti_idx";

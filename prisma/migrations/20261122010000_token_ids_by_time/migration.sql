-- A token's id begins with its moment (UUID version 7), and so does its record: the index on time finds it, and
-- one of its own would be 31 bytes of every record for nothing. Ids from before that were random; they are still
-- found, by reading everything.
DROP INDEX "audit_record_jti_idx";

-- Without this the newest ranges have no summary until the next VACUUM, and every search by time reads them.
ALTER INDEX "audit_record_time_idx" SET (autosummarize = on);

-- Without this the newest ranges have no summary until the next VACUUM, and every search by time reads them.
ALTER INDEX "audit_record_time_idx" SET (autosummarize = on);

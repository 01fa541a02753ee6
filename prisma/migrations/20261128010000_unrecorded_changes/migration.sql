-- Changes of the registry and the keys that somebody makes with SQL, beside the service and its commands. Triggers note
-- every row that changes, by whatever statement. A change whose transaction also writes a record about the same subject
-- is recorded already, and its note is removed when the transaction ends. All other notes stay, and become records of
-- the ledger within a second (src/ledger/hand-changes.ts).
--
-- There is no mark by which a transaction could say that it needs no record. Whoever wants to leave no note has to write
-- a record about the same subject, or to be allowed to switch off triggers or to delete notes.

-- CreateTable
CREATE TABLE "registry_unrecorded_change" (
    "change_id" BIGSERIAL NOT NULL,
    "transaction_id" BIGINT NOT NULL,
    "changed_at" TIMESTAMPTZ(6) NOT NULL DEFAULT clock_timestamp(),
    "table_name" TEXT NOT NULL,
    "operation" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "before" JSONB,
    "after" JSONB,
    "hidden" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "database_user" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "application" TEXT NOT NULL,
    "address" TEXT,

    CONSTRAINT "registry_unrecorded_change_pkey" PRIMARY KEY ("change_id")
);

CREATE FUNCTION "registry_note_row"(
  "table_name" text, "operation" text, "subject" text[], "hidden" text[], "old_row" jsonb, "new_row" jsonb
) RETURNS void LANGUAGE sql AS $$
-- Hidden columns are compared, and their values are kept nowhere. Long values are cut.
  INSERT INTO registry_unrecorded_change (
    transaction_id, table_name, operation, subject, before, after, hidden, database_user, role, application, address)
  SELECT pg_current_xact_id()::text::bigint, $1, $2, array_to_string(
           $3[1:1] || ARRAY(SELECT coalesce($6, $5) ->> part FROM unnest($3[2:]) WITH ORDINALITY AS p (part, place) ORDER BY place), ' '),
         (SELECT jsonb_object_agg(key, CASE WHEN length(value::text) > 1024 THEN to_jsonb(left(value::text, 1024)) ELSE value END)
            FROM jsonb_each($5 - $4)),
         (SELECT jsonb_object_agg(key, CASE WHEN length(value::text) > 1024 THEN to_jsonb(left(value::text, 1024)) ELSE value END)
            FROM jsonb_each($6 - $4)),
         ARRAY(SELECT part FROM unnest($4) AS part WHERE ($5 -> part) IS DISTINCT FROM ($6 -> part)),
         session_user, coalesce(nullif(current_setting('role'), 'none'), session_user),
         left(current_setting('application_name'), 256), host(inet_client_addr());
$$;

CREATE FUNCTION "registry_note_rows"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
-- Arguments: what records call the subject and the columns of its id; the columns that are not shown; the columns of the
-- primary key. The owner of the tables writes the notes, so that whoever may change a row needs no other right.
DECLARE
  subject CONSTANT text[] := TG_ARGV[0]::text[];
  hidden CONSTANT text[] := TG_ARGV[1]::text[];
  key_one CONSTANT text := (TG_ARGV[2]::text[])[1];
  key_two CONSTANT text := (TG_ARGV[2]::text[])[2];
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM registry_note_row(TG_TABLE_NAME, TG_OP, ARRAY['all of ' || TG_TABLE_NAME], hidden, NULL, NULL);
  ELSIF TG_OP = 'INSERT' THEN
    PERFORM registry_note_row(TG_TABLE_NAME, TG_OP, subject, hidden, NULL, to_jsonb(n)) FROM new_rows n;
  ELSIF TG_OP = 'DELETE' THEN
    PERFORM registry_note_row(TG_TABLE_NAME, TG_OP, subject, hidden, to_jsonb(o), NULL) FROM old_rows o;
  ELSE
    -- A row whose key changed is one that vanished and one that came.
    PERFORM registry_note_row(TG_TABLE_NAME, TG_OP, subject, hidden, o.image, n.image)
       FROM (SELECT to_jsonb(r) AS image FROM old_rows r) o
       FULL JOIN (SELECT to_jsonb(r) AS image FROM new_rows r) n
         ON jsonb_build_array(o.image -> key_one, o.image -> key_two)
          = jsonb_build_array(n.image -> key_one, n.image -> key_two)
      WHERE o.image IS DISTINCT FROM n.image;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION "registry_settle_notes"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
-- Removes the notes of this transaction about whatever has a record in its chain.
BEGIN
  DELETE FROM registry_unrecorded_change u
   USING (SELECT CASE type WHEN 'client' THEN 'client ' || client_id
                           WHEN 'secret' THEN 'secret ' || credential_id
                           WHEN 'access' THEN 'access ' || client_id || ' ' || audience
                           WHEN 'resource' THEN 'resource ' || audience
                           WHEN 'key' THEN 'key ' || kid END AS subject
            FROM audit_record WHERE chain = NEW.chain AND outcome <> 'changed by hand'
           UNION
          SELECT 'manifest' FROM audit_record
           WHERE chain = NEW.chain AND type = 'key' AND outcome <> 'changed by hand') AS recorded
   WHERE u.transaction_id = pg_current_xact_id()::text::bigint AND u.subject = recorded.subject;
  RETURN NULL;
END $$;

CREATE FUNCTION "ledger_record_changes"(
  "changes" bigint[], "chain" int, "genesis" bytea, "opened_by" text, "records" jsonb
) RETURNS void LANGUAGE plpgsql AS $$
-- Notes become records, in one step: a note is never lost, and never recorded twice.
DECLARE
  removed bigint;
BEGIN
  DELETE FROM registry_unrecorded_change WHERE change_id = ANY(changes);
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF removed <> cardinality(changes) THEN
    RAISE EXCEPTION 'another process has recorded some of these changes' USING ERRCODE = '40001';
  END IF;
  INSERT INTO audit_chain (chain, genesis, opened_by) VALUES ($2, $3, $4);
  PERFORM ledger_append(records);
END $$;

CREATE CONSTRAINT TRIGGER "audit_chain_settle_notes"
  AFTER INSERT ON "audit_chain" DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION "registry_settle_notes"();

DO $$
DECLARE
  watched record;
  ours regprocedure;
BEGIN
  FOR watched IN
    SELECT * FROM (VALUES
      ('client', '{client,client_id}', '{}', '{client_id}'),
      ('client_secret', '{secret,secret_id}', '{hash}', '{secret_id}'),
      ('access', '{access,client_id,audience}', '{}', '{client_id,audience}'),
      ('resource', '{resource,audience}', '{}', '{audience}'),
      ('signing_key', '{key,kid}', '{sealed_private_key}', '{kid}'),
      ('signing_key_manifest', '{manifest}', '{content,mac}', '{only}')
    ) AS t (table_name, subject, hidden, key)
  LOOP
    EXECUTE format('CREATE TRIGGER registry_noted_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.subject, watched.hidden, watched.key);
    EXECUTE format('CREATE TRIGGER registry_noted_update AFTER UPDATE ON %I
      REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.subject, watched.hidden, watched.key);
    EXECUTE format('CREATE TRIGGER registry_noted_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.subject, watched.hidden, watched.key);
    EXECUTE format('CREATE TRIGGER registry_noted_truncate AFTER TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION registry_note_rows(%L, %L, %L)',
      watched.table_name, watched.subject, watched.hidden, watched.key);
  END LOOP;
  -- As for all functions: their own tables are found, whatever the session is set to.
  FOR ours IN
    SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = current_schema()
       AND p.proname IN ('registry_note_row', 'registry_note_rows', 'registry_settle_notes', 'ledger_record_changes')
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', ours, current_schema());
  END LOOP;
END $$;

-- Triggers need no right to be called, and nobody else has to call these.
REVOKE ALL ON FUNCTION "registry_note_rows"(), "registry_settle_notes"() FROM PUBLIC;

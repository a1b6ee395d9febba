DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{append}') THEN CREATE ROLE "{append}" NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{read}') THEN CREATE ROLE "{read}" NOLOGIN; END IF;
END $$;
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO "{append}", "{read}";
GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO "{append}", "{read}";
GRANT INSERT ON {schema}.entries, {schema}.checkpoints TO "{append}";
GRANT INSERT (name), UPDATE (size, leaf, epoch) ON {schema}.ledgers TO "{append}";
GRANT UPDATE (size, note) ON {schema}.checkpoints TO "{append}";
GRANT INSERT, UPDATE, DELETE ON {schema}.snapshots TO "{append}";

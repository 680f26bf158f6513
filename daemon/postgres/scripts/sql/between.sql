-- After each file: nothing failed in it, still in our transaction, and nothing that the file set reaches the next.
\ir reset_psql.sql
SELECT coalesce(pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text OPERATOR(pg_catalog.=) :'cutoverd_xid', false)
    AS cutoverd_same \gset
\if :cutoverd_same
\else
SELECT pg_catalog.set_config('cutoverd.file', :'cutoverd_file', false) AS cutoverd_left \gset
DO $$BEGIN RAISE EXCEPTION '%', pg_catalog.current_setting('cutoverd.file') USING ERRCODE = 'CV002'; END$$;
\endif
\ir nothing_failed.sql
RESET SESSION AUTHORIZATION;
RESET ROLE;
RESET ALL;
\ir settings.sql

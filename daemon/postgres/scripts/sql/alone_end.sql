-- After a file without a transaction: nothing failed in it, and nothing of it is still to be committed.
\ir reset_psql.sql
\ir nothing_failed.sql
SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NULL AS cutoverd_committed \gset
\if :cutoverd_committed
\else
DO $$BEGIN RAISE EXCEPTION 'a transaction is still open' USING ERRCODE = 'CV005'; END$$;
\endif

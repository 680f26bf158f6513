-- First thing in the transaction that psql has begun: who we are, and which transaction it is.
\set ON_ERROR_STOP on
SET statement_timeout = 0;
SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
SELECT pg_catalog.pg_backend_pid() \g (format=unaligned tuples_only=on) :cutoverd_pid_file
SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text AS cutoverd_xid \gset
\ir settings.sql

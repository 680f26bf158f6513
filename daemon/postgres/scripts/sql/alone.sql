-- First thing in a session without a transaction: who we are.
\set ON_ERROR_STOP on
SELECT pg_catalog.pg_backend_pid() \g (format=unaligned tuples_only=on) :cutoverd_pid_file
\ir settings.sql

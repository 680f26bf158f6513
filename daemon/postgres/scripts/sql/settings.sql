-- Whatever role, database, login trigger or an earlier file brings along: no time-out ends a long script, no hidden row is a smaller
-- count, and what was acknowledged survives a crash. The rest is the owner's and the database's: it says what the files mean.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_session_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET row_security = off;
SET default_transaction_read_only = off;
SELECT pg_catalog.count(pg_catalog.set_config(name, '0', false)) AS cutoverd_unhurried
FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'transaction_timeout' \gset
SELECT pg_catalog.set_config('synchronous_commit', CASE
    WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
    false) AS cutoverd_durable \gset

-- No time-out that the role, the database or an earlier file brings along may end a long script.
SELECT pg_catalog.count(pg_catalog.set_config(name, '0', false)) AS cutoverd_unhurried FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout',
               'transaction_timeout') \gset

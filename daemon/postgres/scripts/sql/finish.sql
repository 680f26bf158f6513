-- Last thing in the transaction: without this row the step has not happened.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false) AS cutoverd_ours \gset
UPDATE cutoverd.step_log SET finished = true, evidence = :'cutoverd_evidence'::jsonb || jsonb_build_object(
    'rows', (SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_xact_user_tables
              WHERE schemaname <> 'cutoverd' AND schemaname NOT LIKE 'pg\_temp%'),
    'bytes', CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) END)
WHERE run = :'cutoverd_run' AND step = :'cutoverd_step' AND direction = :'cutoverd_direction';

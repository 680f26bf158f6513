-- Last thing in the transaction: without this row the step has not happened.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false) AS cutoverd_ours \gset
UPDATE cutoverd.step_log SET finished = true, evidence = :'cutoverd_evidence'::jsonb
WHERE run = :'cutoverd_run' AND step = :'cutoverd_step' AND direction = :'cutoverd_direction';

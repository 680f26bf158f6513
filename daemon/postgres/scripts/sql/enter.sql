-- The fence row is ours until the end; then our row of the ledger, or what became of an earlier one. No function or operator of
-- theirs stands in for one of the server's meanwhile.
SELECT pg_catalog.current_setting('search_path') AS cutoverd_path,
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false) AS cutoverd_ours \gset
SELECT count(*) = 1 AS cutoverd_current FROM (
    SELECT FROM cutoverd.fence WHERE run = :'cutoverd_run' AND epoch = :'cutoverd_epoch'::bigint FOR SHARE
) held \gset
\if :cutoverd_current
\else
DO $$BEGIN RAISE EXCEPTION 'this daemon is no longer the leader' USING ERRCODE = 'CV001'; END$$;
\endif
WITH mine AS (
    INSERT INTO cutoverd.step_log (run, step, direction, epoch, event_id)
    VALUES (:'cutoverd_run', :'cutoverd_step', :'cutoverd_direction', :'cutoverd_epoch'::bigint, :'cutoverd_event')
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT count(*) = 1 AS cutoverd_mine FROM mine \gset
\if :cutoverd_mine
\else
SELECT count(*) = 1 AS cutoverd_finished FROM cutoverd.step_log
WHERE run = :'cutoverd_run' AND step = :'cutoverd_step' AND direction = :'cutoverd_direction' AND finished \gset
\if :cutoverd_finished
\else
DO $$BEGIN RAISE EXCEPTION 'an earlier attempt was committed without its end' USING ERRCODE = 'CV003'; END$$;
\endif
\endif
SELECT pg_catalog.set_config('search_path', :'cutoverd_path', false) AS cutoverd_theirs \gset

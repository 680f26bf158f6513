-- Who keeps a session waiting for a lock, since when, and for what; nothing unless it waits. A prepared transaction has no pid.
SELECT h.pid, coalesce(h.usename::text, ''), coalesce(h.application_name, ''), coalesce(h.state, ''),
       to_char(h.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
       (SELECT l.relation::bigint FROM pg_catalog.pg_locks l WHERE l.pid = me.pid AND NOT l.granted LIMIT 1),
       (SELECT extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8
          FROM pg_catalog.pg_locks l WHERE l.pid = me.pid AND NOT l.granted)
  FROM pg_catalog.pg_stat_activity me
 CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(me.pid)) AS blocking (pid)
  LEFT JOIN pg_catalog.pg_stat_activity h ON h.pid = blocking.pid
 WHERE (me.pid = %(pid)s OR me.application_name = %(application_name)s) AND me.wait_event_type = 'Lock'
   AND coalesce(h.application_name <> %(application_name)s, true)
 ORDER BY h.xact_start, h.pid

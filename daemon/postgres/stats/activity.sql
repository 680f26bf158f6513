-- What the sessions of one daemon are doing, and how far the server says that they are.
WITH told AS (
    SELECT pid, command, '' AS phase,
           CASE WHEN bytes_total > 0 THEN bytes_processed ELSE tuples_processed END AS done,
           nullif(bytes_total, 0) AS total,
           CASE WHEN bytes_total > 0 THEN 'bytes' ELSE 'rows' END AS unit
      FROM pg_catalog.pg_stat_progress_copy
    UNION ALL
    SELECT pid, command, phase,
           CASE WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END,
           CASE WHEN tuples_total > 0 THEN tuples_total ELSE nullif(blocks_total, 0) END,
           CASE WHEN tuples_total > 0 THEN 'rows' ELSE 'blocks' END
      FROM pg_catalog.pg_stat_progress_create_index
    UNION ALL
    SELECT pid, command, phase, heap_blks_scanned, nullif(heap_blks_total, 0), 'blocks' FROM pg_catalog.pg_stat_progress_cluster
    UNION ALL
    SELECT pid, 'VACUUM', phase, heap_blks_scanned, nullif(heap_blks_total, 0), 'blocks' FROM pg_catalog.pg_stat_progress_vacuum
    UNION ALL
    SELECT pid, 'ANALYZE', phase, sample_blks_scanned, nullif(sample_blks_total, 0), 'blocks'
      FROM pg_catalog.pg_stat_progress_analyze
)
SELECT a.datname, a.query, coalesce(a.wait_event, ''),
       (SELECT string_agg(format('pid %%s (%%s, %%s)', h.pid, h.usename, coalesce(nullif(h.application_name, ''), 'no application_name')), ', ')
          FROM unnest(CASE WHEN a.wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(a.pid) END) AS blocking (pid)
          JOIN pg_catalog.pg_stat_activity h ON h.pid = blocking.pid),
       told.command, told.phase, told.done::float8, told.total::float8, told.unit
  FROM pg_catalog.pg_stat_activity a LEFT JOIN told USING (pid)
 WHERE a.application_name = %s AND a.state = 'active' AND a.backend_type = 'client backend'
 ORDER BY a.query_start, a.pid

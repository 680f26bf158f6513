-- The tables of a database, how many rows the planner thinks they have, and what tells one row from another.
SELECT format('%I.%I', n.nspname, c.relname) AS table_name, n.nspname || '.' || c.relname AS shown, c.reltuples::bigint,
       (SELECT array_agg(format('%I', a.attname) ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT array_agg(a.attname ORDER BY place)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE place <= i.indnkeyatts) AS key
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
      SELECT i.* FROM pg_catalog.pg_index i
       WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)
       ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1
  ) i ON true
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cutoverd') AND n.nspname NOT LIKE 'pg\_toast%'
 ORDER BY 1

-- Every sequence of this database, where it stands, and the columns that it feeds: by serial, identity, or any default that
-- calls nextval (pg_get_serial_sequence misses shared ones).
WITH fed AS (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS attribute
      FROM pg_catalog.pg_depend d
     WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
       AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    UNION
    SELECT d.refobjid, ad.adrelid, ad.adnum
      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef ad ON ad.oid = d.objid
     WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
)
SELECT n.nspname AS schema, s.relname AS name, q.seqincrement AS increment, q.seqmin AS lowest, q.seqmax AS highest, q.seqcycle AS cycles,
       coalesce(array_agg(format('%I.%I', tn.nspname, t.relname) ORDER BY t.oid, a.attnum) FILTER (WHERE a.attnum IS NOT NULL), '{}') AS tables,
       coalesce(array_agg(a.attname::text ORDER BY t.oid, a.attnum) FILTER (WHERE a.attnum IS NOT NULL), '{}') AS columns,
       coalesce(array_agg(format_type(coalesce(nullif(y.typbasetype, 0), y.oid), NULL) ORDER BY t.oid, a.attnum) FILTER (WHERE a.attnum IS NOT NULL), '{}') AS types
  FROM pg_catalog.pg_sequence q
  JOIN pg_catalog.pg_class s ON s.oid = q.seqrelid AND s.relpersistence <> 't'
  JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace AND n.nspname <> 'cutoverd'
  LEFT JOIN fed f ON f.sequence = s.oid
  LEFT JOIN pg_catalog.pg_class t ON t.oid = f.relation AND t.relkind IN ('r', 'p')
  LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = f.attribute AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
 GROUP BY s.oid, 1, 2, 3, 4, 5, 6
 ORDER BY 1, 2

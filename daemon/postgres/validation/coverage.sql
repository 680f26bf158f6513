-- Every table of this database that holds rows of its own, and every partitioned table above it.
-- Partitions are listed one by one: a query may read some and not others. An extension's tables count only where the
-- extension says that they hold the user's rows, as pg_dump has it. Materialized views are derived, foreign tables are elsewhere.
WITH RECURSIVE above AS (
    SELECT inhrelid AS relation, inhparent AS ancestor
      FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class c ON c.oid = inhrelid AND c.relispartition
    UNION ALL
    SELECT a.relation, i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.ancestor
)
SELECT n.nspname || '.' || c.relname AS name,
       coalesce((SELECT array_agg(an.nspname || '.' || ac.relname)
                   FROM above a JOIN pg_catalog.pg_class ac ON ac.oid = a.ancestor
                   JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace
                  WHERE a.relation = c.oid), '{}') AS ancestors
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'cutoverd')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                      AND d.refclassid = 'pg_catalog.pg_extension'::regclass
                      AND c.oid <> ALL (coalesce(e.extconfig, '{}')))
 ORDER BY 1

-- What is not as a database in use should be: (what, name). Asked of old and of new; what old had too is no fault of ours.
WITH ours AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace
     WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'cutoverd') AND nspname NOT LIKE 'pg\_temp\_%'
), relations AS (
    SELECT c.oid, o.nspname || '.' || c.relname AS name, c.relkind, c.relpersistence
      FROM pg_catalog.pg_class c JOIN ours o ON o.oid = c.relnamespace
)
SELECT CASE k.contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END || ' is not validated', k.conname || ' on ' || r.name
  FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid
 WHERE NOT k.convalidated AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'  -- that one is named below
UNION ALL
SELECT 'constraint is not validated', k.conname || ' on domain ' || o.nspname || '.' || t.typname
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_type t ON t.oid = k.contypid JOIN ours o ON o.oid = t.typnamespace
 WHERE NOT k.convalidated
UNION ALL
SELECT 'constraint is not enforced', k.conname || ' on ' || r.name
  FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid
 WHERE to_jsonb(k) ->> 'conenforced' = 'false'  -- 18 and later
UNION ALL
SELECT CASE WHEN t.tgisinternal THEN 'constraint is not watched: its trigger is disabled' ELSE 'trigger is disabled' END,
       coalesce(k.conname, t.tgname) || ' on ' || r.name
  FROM pg_catalog.pg_trigger t JOIN relations r ON r.oid = t.tgrelid LEFT JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint
 WHERE t.tgenabled IN ('D', 'R')
UNION ALL
SELECT 'event trigger is disabled', evtname::text FROM pg_catalog.pg_event_trigger WHERE evtenabled IN ('D', 'R')
UNION ALL
SELECT 'rule is disabled', w.rulename || ' on ' || r.name
  FROM pg_catalog.pg_rewrite w JOIN relations r ON r.oid = w.ev_class
 WHERE w.ev_enabled IN ('D', 'R')
UNION ALL
SELECT 'index is not valid', r.name
  FROM pg_catalog.pg_index i JOIN relations r ON r.oid = i.indexrelid
 WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
UNION ALL
SELECT 'table is unlogged: a crash empties it', r.name FROM relations r WHERE r.relkind = 'r' AND r.relpersistence = 'u'
UNION ALL
SELECT 'materialized view is not populated', r.name
  FROM relations r JOIN pg_catalog.pg_class c ON c.oid = r.oid WHERE r.relkind = 'm' AND NOT c.relispopulated
 ORDER BY 1, 2

-- What calls functions that have no search_path of their own, where a restore calls them: (what, table, expression, owner, functions,
-- their schema, query of a materialized view, whether our role may become the owner).
WITH called AS (
    SELECT d.classid, d.objid, array_agg(p.oid ORDER BY p.oid) AS functions, min(n.nspname) AS schema
      FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid AND d.refclassid = 'pg_proc'::regclass JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE p.oid >= 16384 AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
     GROUP BY 1, 2
), callers AS (
    SELECT 'constraint ' || k.conname AS what, k.conrelid AS relation, pg_get_expr(k.conbin, k.conrelid) AS expression, c.functions, c.schema
      FROM called c JOIN pg_constraint k ON c.classid = 'pg_constraint'::regclass AND k.oid = c.objid WHERE k.contype = 'c' AND k.conrelid <> 0
    UNION ALL
    SELECT 'index ' || r.relname, i.indrelid, concat_ws(', ', pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)), c.functions, c.schema
      FROM called c JOIN pg_index i ON c.classid = 'pg_class'::regclass AND i.indexrelid = c.objid JOIN pg_class r ON r.oid = i.indexrelid
    UNION ALL
    SELECT 'column ' || a.attname, a.attrelid, pg_get_expr(e.adbin, e.adrelid), c.functions, c.schema
      FROM called c JOIN pg_attrdef e ON c.classid = 'pg_attrdef'::regclass AND e.oid = c.objid
      JOIN pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum AND a.attgenerated <> ''
    UNION ALL
    SELECT 'constraint ' || k.conname || ' of domain ' || t.typname, a.attrelid, format('%I::%s::%I.%I', a.attname, format_type(t.typbasetype, t.typtypmod), tn.nspname, t.typname), c.functions, c.schema
      FROM called c JOIN pg_constraint k ON c.classid = 'pg_constraint'::regclass AND k.oid = c.objid AND k.contypid <> 0
      JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
      JOIN pg_attribute a ON a.atttypid = t.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_class r ON r.oid = a.attrelid AND r.relkind = 'r'
    UNION ALL
    SELECT 'its query', w.ev_class, NULL, c.functions, c.schema
      FROM called c JOIN pg_rewrite w ON c.classid = 'pg_rewrite'::regclass AND w.oid = c.objid JOIN pg_class r ON r.oid = w.ev_class AND r.relkind = 'm'
)
SELECT c.what, format('%I.%I', (SELECT nspname FROM pg_namespace WHERE oid = r.relnamespace), r.relname), coalesce(c.expression, ''), pg_get_userbyid(r.relowner)::text,
       (SELECT array_agg((pg_identify_object('pg_proc'::regclass, f, 0)).identity) FROM unnest(c.functions) f), c.schema,
       CASE WHEN r.relkind = 'm' THEN pg_get_viewdef(r.oid) ELSE '' END,
       pg_has_role(r.relowner, 'USAGE') AND pg_has_role(r.relowner, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
  FROM callers c JOIN pg_class r ON r.oid = c.relation
 WHERE r.relkind IN ('r', 'm') AND (r.relkind = 'm' OR c.expression IS NOT NULL)
 ORDER BY 2, 1

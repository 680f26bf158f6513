-- What shows rows with the rights of its owner: (view, security_invoker, security_barrier, owner, whether anybody else may read
-- it, tables whose row level security it reads past, how far only rows that it shows are written by it: not at all, local, cascaded).
-- A view below it is asked as its owner, too, whatever it says of itself.
, views AS (
    SELECT r.oid, r.name, c.relkind, c.relowner, coalesce(c.relacl, acldefault('r', c.relowner)) AS acl,
           EXISTS (SELECT FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::boolean) AS invoker,
           EXISTS (SELECT FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_barrier' AND option_value::boolean) AS barrier,
           (SELECT lower(option_value) FROM pg_options_to_table(c.reloptions) WHERE option_name = 'check_option') AS checks
      FROM relations r JOIN pg_catalog.pg_class c ON c.oid = r.oid WHERE c.relkind IN ('v', 'm')
), direct AS (
    SELECT DISTINCT w.ev_class AS view, d.refobjid AS below
      FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
), reads AS (
    SELECT view, below FROM direct
    UNION SELECT r.view, d.below FROM reads r JOIN direct d ON d.view = r.below
), past AS (
    SELECT v.oid, array_agg(t.name ORDER BY t.name) AS tables
      FROM views v JOIN pg_catalog.pg_roles o ON o.oid = v.relowner JOIN reads ON reads.view = v.oid JOIN relations t ON t.oid = reads.below
     WHERE t.relrowsecurity AND (v.relkind = 'm' OR NOT v.invoker)
       AND (v.relkind = 'm' OR o.rolsuper OR o.rolbypassrls OR (pg_has_role(v.relowner, t.relowner, 'USAGE') AND NOT t.relforcerowsecurity))
     GROUP BY v.oid
)
SELECT v.name, v.invoker, v.relkind = 'm' OR v.barrier, pg_get_userbyid(v.relowner)::text,
       EXISTS (SELECT FROM aclexplode(v.acl) a WHERE a.grantee <> v.relowner AND a.privilege_type = 'SELECT'), coalesce(p.tables, '{}'),
       CASE WHEN v.relkind = 'm' OR v.checks = 'local' AND NOT EXISTS (SELECT FROM direct d JOIN views b ON b.oid = d.below WHERE d.view = v.oid)
            THEN 'cascaded' ELSE coalesce(v.checks, '') END -- of a view with none below it, LOCAL says the same
  FROM views v LEFT JOIN past p ON p.oid = v.oid

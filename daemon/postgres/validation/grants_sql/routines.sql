-- What a call of each routine may do: (routine, whether it has its owner's rights, whether its search_path is set, owner, whether
-- everybody may call it). An extension's are its own affair.
SELECT f.name, p.prosecdef, EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%'), pg_get_userbyid(f.proowner)::text,
       p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND has_function_privilege(0, f.oid, 'EXECUTE')
  FROM functions f JOIN pg_catalog.pg_proc p ON p.oid = f.oid
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')

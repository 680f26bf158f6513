-- What each role may do with each relation, view and sequence; the owner's own left out. A clone keeps oids: the same name with
-- another oid was made anew, and lost its grants unless the scripts granted them again.
SELECT n.nspname || '.' || c.relname AS name, coalesce(r.rolname, 'PUBLIC') AS role, a.privilege_type AS privilege
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL aclexplode(c.relacl) a
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND a.grantee <> c.relowner
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'cutoverd')

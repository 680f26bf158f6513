-- What was granted on each object, the owner's own left out: (kind, name, role, privilege).
SELECT o.kind, o.name, coalesce(r.rolname, 'public')::text,
       a.privilege_type || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
  FROM objects o CROSS JOIN LATERAL aclexplode(o.acl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE a.grantee <> o.owner AND (a.grantee = 0 OR r.oid IS NOT NULL)

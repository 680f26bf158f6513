-- What others may use past the row level security of a table above it, having none: (table, the table above, its oid, role).
, above AS (
    SELECT inhrelid AS leaf, inhparent AS oid FROM pg_catalog.pg_inherits
    UNION SELECT a.leaf, i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
)
SELECT DISTINCT r.name, t.name, t.oid::bigint, coalesce(g.rolname, 'public')::text
  FROM above a JOIN relations r ON r.oid = a.leaf JOIN relations t ON t.oid = a.oid
  JOIN objects o ON o.oid = r.oid AND o.kind IN ('table', 'column')
 CROSS JOIN LATERAL aclexplode(o.acl) x LEFT JOIN pg_catalog.pg_roles g ON g.oid = x.grantee
 WHERE t.relrowsecurity AND NOT r.relrowsecurity AND x.grantee <> o.owner AND x.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
   AND (x.grantee = 0 OR NOT (g.rolsuper OR g.rolbypassrls))
 ORDER BY 1, 2, 4

-- Row level security: (table, whether it is on, whether it is for the owner too, policies as {name: [command, permissive, roles, using, with check]}).
SELECT r.name, r.relrowsecurity, r.relforcerowsecurity,
       coalesce(jsonb_object_agg(p.policyname, jsonb_build_array(p.cmd, p.permissive, p.roles::text[], p.qual, p.with_check))
                FILTER (WHERE p.policyname IS NOT NULL), '{}')
  FROM relations r LEFT JOIN pg_catalog.pg_policies p ON p.schemaname || '.' || p.tablename = r.name
 WHERE r.kind = 'table'
 GROUP BY 1, 2, 3

-- Row level security: (table, whether it is on, whether it is for the owner too, its oid, policies as
-- {name: [command, permissive, roles, using, with check, both as the server keeps them]}). What the server keeps follows a renamed column.
SELECT r.name, r.relrowsecurity, r.relforcerowsecurity, r.oid::bigint,
       coalesce(jsonb_object_agg(p.policyname, jsonb_build_array(p.cmd, p.permissive, p.roles::text[], p.qual, p.with_check,
                                                                jsonb_build_array(k.polqual::text, k.polwithcheck::text)))
                FILTER (WHERE p.policyname IS NOT NULL), '{}')
  FROM relations r LEFT JOIN pg_catalog.pg_policies p ON p.schemaname || '.' || p.tablename = r.name
  LEFT JOIN pg_catalog.pg_policy k ON k.polrelid = r.oid AND k.polname = p.policyname
 WHERE r.kind = 'table'
 GROUP BY 1, 2, 3, 4

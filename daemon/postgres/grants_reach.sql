-- What each role can do at all, and whether it reaches any table that is not among the known ones.
, roles AS (
    SELECT rolname::text AS role, oid FROM pg_catalog.pg_roles WHERE NOT rolsuper AND rolname !~ '^pg_' AND rolname <> current_user
    UNION ALL SELECT 'public', 0
), tables AS (
    SELECT oid, schema, name, name <> ALL (%s::text[]) AS anew FROM relations WHERE kind = 'table'
)
SELECT role,
       EXISTS (SELECT FROM tables t WHERE has_schema_privilege(role, t.schema, 'USAGE') AND has_any_column_privilege(role, t.oid, 'SELECT')),
       EXISTS (SELECT FROM tables t WHERE has_schema_privilege(role, t.schema, 'USAGE')
                  AND (has_any_column_privilege(role, t.oid, 'INSERT, UPDATE') OR has_table_privilege(role, t.oid, 'DELETE, TRUNCATE'))),
       EXISTS (SELECT FROM functions f WHERE has_schema_privilege(role, f.schema, 'USAGE') AND has_function_privilege(role, f.oid, 'EXECUTE')),
       EXISTS (SELECT FROM functions f WHERE has_schema_privilege(role, f.schema, 'USAGE') AND has_function_privilege(role, f.oid, 'EXECUTE')
                  AND NOT has_function_privilege('public', f.oid, 'EXECUTE') AND NOT pg_has_role(roles.oid, f.proowner, 'USAGE')),
       NOT EXISTS (SELECT FROM tables WHERE anew)
           OR EXISTS (SELECT FROM tables t WHERE t.anew AND has_schema_privilege(role, t.schema, 'USAGE')
                         AND has_any_column_privilege(role, t.oid, 'SELECT, INSERT, UPDATE'))
  FROM roles ORDER BY 1

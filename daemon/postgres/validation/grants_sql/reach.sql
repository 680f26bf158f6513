-- What each role can do at all, and whether it reaches any table that is not among the known ones. By oid, 0 for everybody; columns
-- are asked of only where one has grants of its own: with hundreds of roles and thousands of tables all else takes minutes.
, roles AS (
    SELECT rolname::text AS role, oid FROM pg_catalog.pg_roles WHERE NOT rolsuper AND rolname !~ '^pg_' AND rolname <> current_user
    UNION ALL SELECT 'public', 0
), tables AS MATERIALIZED (
    SELECT r.oid, r.schema, r.name <> ALL (%s::text[]) AS anew,
           EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = r.oid AND a.attacl IS NOT NULL) AS by_column
      FROM relations r WHERE r.kind = 'table'
), runnable AS MATERIALIZED (
    SELECT f.oid, f.schema, f.proowner, has_function_privilege(0, f.oid, 'EXECUTE') AS by_all FROM functions f
), allowed AS (
    SELECT role, roles.oid, (SELECT array_agg(s.oid) FROM ours s WHERE has_schema_privilege(roles.oid, s.oid, 'USAGE')) AS schemas FROM roles
)
SELECT role,
       EXISTS (SELECT FROM tables t WHERE t.schema = ANY (schemas) AND (has_table_privilege(w.oid, t.oid, 'SELECT')
                  OR t.by_column AND has_any_column_privilege(w.oid, t.oid, 'SELECT'))),
       EXISTS (SELECT FROM tables t WHERE t.schema = ANY (schemas) AND (has_table_privilege(w.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                  OR t.by_column AND has_any_column_privilege(w.oid, t.oid, 'INSERT, UPDATE'))),
       EXISTS (SELECT FROM runnable f WHERE f.schema = ANY (schemas) AND has_function_privilege(w.oid, f.oid, 'EXECUTE')),
       EXISTS (SELECT FROM runnable f WHERE f.schema = ANY (schemas) AND NOT f.by_all AND has_function_privilege(w.oid, f.oid, 'EXECUTE')
                  AND NOT pg_has_role(w.oid, f.proowner, 'USAGE')),
       NOT EXISTS (SELECT FROM tables WHERE anew)
           OR EXISTS (SELECT FROM tables t WHERE t.anew AND t.schema = ANY (schemas)
                         AND (has_table_privilege(w.oid, t.oid, 'SELECT, INSERT, UPDATE')
                              OR t.by_column AND has_any_column_privilege(w.oid, t.oid, 'SELECT, INSERT, UPDATE')))
  FROM allowed w ORDER BY 1

-- Which of the given grants are not held on the object of the same name, by whatever way: a group, the owner, PUBLIC.
, wanted AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS w(kind, name, role, privilege))
SELECT w.kind, w.name, w.role, w.privilege
  FROM wanted w JOIN objects o USING (kind, name)
 WHERE NOT CASE w.kind WHEN 'schema' THEN has_schema_privilege(w.role, o.oid, w.privilege)
                       WHEN 'sequence' THEN has_sequence_privilege(w.role, o.oid, w.privilege)
                       WHEN 'column' THEN has_column_privilege(w.role, o.oid, o.number::smallint, w.privilege)
                       WHEN 'function' THEN has_function_privilege(w.role, o.oid, w.privilege)
                       WHEN 'type' THEN has_type_privilege(w.role, o.oid, w.privilege)
                       WHEN 'language' THEN has_language_privilege(w.role, o.oid, w.privilege)
                       WHEN 'foreign server' THEN has_server_privilege(w.role, o.oid, w.privilege)
                       WHEN 'foreign-data wrapper' THEN has_foreign_data_wrapper_privilege(w.role, o.oid, w.privilege)
                       WHEN 'large object' THEN EXISTS (
                           SELECT FROM aclexplode(o.acl) a LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.role
                            WHERE pg_has_role(r.oid, o.owner, 'USAGE')
                               OR w.privilege IN (a.privilege_type, CASE WHEN a.is_grantable THEN a.privilege_type || ' WITH GRANT OPTION' END)
                              AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'USAGE')))
                       ELSE has_table_privilege(w.role, o.oid, w.privilege) END
 ORDER BY 1, 2, 3, 4

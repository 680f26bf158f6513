-- All that rights may be granted on in this database; what follows says which of them are meant.
WITH RECURSIVE ours AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace
     WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'cutoverd')
), relations AS (
    SELECT c.oid, o.oid AS schema, o.nspname || '.' || c.relname AS name, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity,
           CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind
      FROM pg_catalog.pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), functions AS (
    SELECT p.oid, o.oid AS schema, o.nspname || '.' || p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS name,
           p.proowner, p.proacl
      FROM pg_catalog.pg_proc p JOIN ours o ON o.oid = p.pronamespace
), objects AS (
    SELECT 'schema' AS kind, nspname::text AS name, oid, 0 AS number, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl
      FROM ours
    UNION ALL
    SELECT kind, name, oid, 0, relowner, coalesce(relacl, acldefault(CASE kind WHEN 'sequence' THEN 's' ELSE 'r' END::"char", relowner))
      FROM relations
    UNION ALL
    SELECT 'column', r.name || '.' || a.attname, r.oid, a.attnum, r.relowner, a.attacl
      FROM relations r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'function', name, oid, 0, proowner, coalesce(proacl, acldefault('f', proowner)) FROM functions
    UNION ALL
    SELECT 'large object', oid::text, oid, 0, lomowner, lomacl FROM pg_catalog.pg_largeobject_metadata WHERE lomacl IS NOT NULL
    UNION ALL -- types and domains that stand for themselves: an array, a multirange or a row has no rights of its own
    SELECT 'type', o.nspname || '.' || t.typname, t.oid, 0, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
      FROM pg_catalog.pg_type t JOIN ours o ON o.oid = t.typnamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
     WHERE (t.typtype IN ('b', 'd', 'e', 'r') OR c.relkind = 'c') AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
    UNION ALL -- the rights on one that is not trusted mean nothing
    SELECT 'language', lanname, oid, 0, lanowner, coalesce(lanacl, acldefault('l', lanowner)) FROM pg_catalog.pg_language WHERE lanpltrusted
    UNION ALL
    SELECT 'foreign server', srvname, oid, 0, srvowner, coalesce(srvacl, acldefault('S', srvowner)) FROM pg_catalog.pg_foreign_server
    UNION ALL
    SELECT 'foreign-data wrapper', fdwname, oid, 0, fdwowner, coalesce(fdwacl, acldefault('F', fdwowner)) FROM pg_catalog.pg_foreign_data_wrapper
)

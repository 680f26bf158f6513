-- What no role but a superuser can restore, what is to be left out by name, and all that depends on either: (classid, objid, type,
-- schema, name, identity, has rows, what it needs, why that cannot be made, the statement that would change it).
WITH RECURSIVE members AS (
    SELECT d.classid, d.objid, d.refobjid AS extension FROM pg_catalog.pg_depend d
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), barred AS (
    SELECT 'pg_extension'::regclass::oid AS classid, e.oid AS objid, 'only a superuser may create it' AS why, ''::text AS remedy
      FROM pg_catalog.pg_extension e
     WHERE NOT EXISTS (SELECT FROM pg_available_extension_versions v WHERE v.name = e.extname AND v.version = e.extversion AND (v.trusted OR NOT v.superuser))
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid,
           CASE WHEN p.proleakproof THEN 'only a superuser may create a LEAKPROOF function'
                WHEN p.prosupport <> 0 THEN 'only a superuser may create a function with SUPPORT'
                ELSE 'only a superuser may create a function in language ' || l.lanname END,
           CASE WHEN p.proleakproof THEN format('ALTER ROUTINE %%s NOT LEAKPROOF', (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity) ELSE '' END
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.proleakproof OR p.prosupport <> 0 OR NOT l.lanpltrusted AND l.lanname <> 'sql'
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, format('our role may not set %%s, which it sets', c.name),
           format('GRANT SET ON PARAMETER %%s TO %%I', c.name, current_user)
      FROM pg_catalog.pg_proc p CROSS JOIN LATERAL (SELECT split_part(s, '=', 1) FROM unnest(p.proconfig) s) AS c (name)
      LEFT JOIN pg_catalog.pg_settings s ON s.name = c.name
     WHERE coalesce(s.context, 'superuser') <> 'user' AND NOT has_parameter_privilege(c.name, 'SET')
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 'only a superuser may create a base type', ''
      FROM pg_catalog.pg_type t WHERE t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
    UNION ALL
    SELECT 'pg_cast'::regclass, c.oid, 'only a superuser may create a cast without a function', ''
      FROM pg_catalog.pg_cast c WHERE c.castmethod = 'b'
    UNION ALL SELECT 'pg_opclass'::regclass, oid, 'only a superuser may create an operator class', '' FROM pg_catalog.pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, 'only a superuser may create an operator family', '' FROM pg_catalog.pg_opfamily
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid, 'only a superuser may create a text search parser', '' FROM pg_catalog.pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid, 'only a superuser may create a text search template', '' FROM pg_catalog.pg_ts_template
    UNION ALL SELECT 'pg_am'::regclass, oid, 'only a superuser may create an access method', '' FROM pg_catalog.pg_am
    UNION ALL SELECT 'pg_language'::regclass, oid, 'only a superuser may create a language', '' FROM pg_catalog.pg_language
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, oid, 'only a superuser may create a foreign data wrapper', '' FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL
    SELECT 'pg_event_trigger'::regclass, oid, 'only a superuser may create an event trigger',
           CASE WHEN evtenabled = 'D' THEN '' ELSE format('ALTER EVENT TRIGGER %%I DISABLE', evtname) END
      FROM pg_catalog.pg_event_trigger
    UNION ALL
    SELECT 'pg_publication'::regclass, p.oid, 'only a superuser may publish all tables, or all of a schema', ''
      FROM pg_catalog.pg_publication p
     WHERE p.puballtables OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n WHERE n.pnpubid = p.oid)
), roots AS (
    SELECT b.classid, b.objid, b.why, b.remedy, false AS by_name FROM barred b
     WHERE b.objid >= 16384 AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
       AND NOT EXISTS (SELECT FROM members m WHERE m.classid = b.classid AND m.objid = b.objid)
    UNION ALL
    SELECT 'pg_class'::regclass, to_regclass(name), '', '', true FROM unnest(%(left_out)s::text[]) AS l (name) WHERE to_regclass(name) IS NOT NULL
    UNION ALL
    SELECT 'pg_proc'::regclass, to_regprocedure(name), '', '', true FROM unnest(%(left_out)s::text[]) AS l (name) WHERE name LIKE '%%(%%' AND to_regprocedure(name) IS NOT NULL
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, '', '', true
      FROM unnest(%(left_out)s::text[]) AS l (name) JOIN pg_catalog.pg_type t ON t.oid = to_regtype(l.name) WHERE t.typrelid = 0 AND to_regclass(name) IS NULL
), edges AS (
    -- the definition of a view, a default and a check are part of what they belong to, as pg_dump writes it
    SELECT d.refclassid, d.refobjid,
           CASE WHEN w.oid IS NOT NULL OR a.oid IS NOT NULL OR k.conrelid <> 0 THEN 'pg_class'::regclass::oid WHEN k.oid IS NOT NULL THEN 'pg_type'::regclass::oid ELSE d.classid END AS classid,
           coalesce(w.ev_class, a.adrelid, nullif(k.conrelid, 0), k.contypid, d.objid) AS objid
      FROM pg_catalog.pg_depend d
      LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
      LEFT JOIN pg_catalog.pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
      LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contype IN ('c', 'n')
     WHERE d.deptype IN ('n', 'a', 'i', 'e', 'x', 'P', 'S')
), all_of_it AS (
    SELECT classid, objid, classid AS root_class, objid AS root, why, remedy, by_name FROM roots
    UNION
    SELECT e.classid, e.objid, a.root_class, a.root, a.why, a.remedy, a.by_name
      FROM all_of_it a JOIN edges e ON e.refclassid = a.classid AND e.refobjid = a.objid
     WHERE NOT (e.classid = a.classid AND e.objid = a.objid)
)
SELECT DISTINCT ON (a.classid, a.objid) a.classid::bigint, a.objid::bigint, i.type, coalesce(i.schema, '-'), coalesce(i.name, (SELECT proname FROM pg_catalog.pg_proc p WHERE a.classid = 'pg_proc'::regclass AND p.oid = a.objid), ''), i.identity,
       coalesce(c.relkind = 'r' AND c.relpersistence <> 't', false), a.classid = a.root_class AND a.objid = a.root,
       r.type || ' ' || r.identity, a.why, a.remedy, a.by_name
  FROM all_of_it a
 CROSS JOIN LATERAL pg_identify_object(a.classid, a.objid, 0) i
 CROSS JOIN LATERAL pg_identify_object(a.root_class, a.root, 0) r
  LEFT JOIN pg_catalog.pg_class c ON a.classid = 'pg_class'::regclass AND c.oid = a.objid
 WHERE a.objid >= 16384 AND (a.classid = 'pg_extension'::regclass OR NOT EXISTS (SELECT FROM members m WHERE m.classid = a.classid AND m.objid = a.objid))
   AND NOT (a.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = a.objid AND (t.typrelid <> 0 OR t.typelem <> 0)))
 ORDER BY a.classid, a.objid, a.by_name DESC, (a.classid = a.root_class AND a.objid = a.root) DESC

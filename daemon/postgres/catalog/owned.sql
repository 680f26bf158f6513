-- What belongs to others than the database's owner: (classid, objid, type, schema, identity, owner, whether the database's owner may
-- act for them, whether our role may, whether the database's owner may read it, or create in it). An extension's members and what goes with its table are left out.
WITH me AS (
    SELECT d.datdba AS owner FROM pg_catalog.pg_database d WHERE d.datname = current_database()
), objects AS (
    SELECT 'pg_namespace'::regclass::oid AS classid, oid AS objid, nspowner AS owner FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, c.relowner FROM pg_catalog.pg_class c
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') OR c.relkind = 'S' AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_catalog.pg_proc
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, t.typowner FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
     WHERE t.typtype IN ('b', 'd', 'e', 'r') AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid) OR c.relkind = 'c'
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner FROM pg_catalog.pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner FROM pg_catalog.pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner FROM pg_catalog.pg_opfamily
    UNION ALL SELECT 'pg_collation'::regclass, oid, collowner FROM pg_catalog.pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner FROM pg_catalog.pg_conversion
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner FROM pg_catalog.pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner FROM pg_catalog.pg_ts_dict
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner FROM pg_catalog.pg_statistic_ext
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT 'pg_publication'::regclass, oid, pubowner FROM pg_catalog.pg_publication
    UNION ALL SELECT 'pg_largeobject'::regclass, oid, lomowner FROM pg_catalog.pg_largeobject_metadata
)
SELECT o.classid::bigint, o.objid::bigint, i.type, coalesce(i.schema, ''), i.identity, pg_get_userbyid(o.owner)::text,
       pg_has_role(me.owner, o.owner, 'USAGE'),
       pg_has_role(o.owner, 'USAGE') AND pg_has_role(o.owner, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END),
       CASE o.classid WHEN 'pg_class'::regclass THEN has_table_privilege(me.owner, o.objid, 'SELECT')
                      WHEN 'pg_namespace'::regclass THEN has_schema_privilege(me.owner, o.objid, 'CREATE') ELSE true END
  FROM me CROSS JOIN objects o CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) i
 WHERE o.owner <> me.owner AND (o.classid = 'pg_largeobject'::regclass OR o.objid >= 16384)
   AND coalesce(i.schema, i.name, '') NOT IN ('cutoverd') AND coalesce(i.schema, i.name, '') !~ '^pg_(toast|temp)'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'e')
 ORDER BY o.classid = 'pg_namespace'::regclass, 1, 5

-- One hash of whatever in a database decides what a rehearsal finds, a line each; no oid, and nothing that changes with its rows.
WITH ours AS (
    SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'cutoverd')
), relations AS (
    SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), lines (line) AS (
    SELECT format('schema %s %s %s', oid::regnamespace, nspowner::regrole, nspacl) FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('relation %s %s%s %s %s %s %s %s %s', oid::regclass, relkind, relpersistence, relrowsecurity, relforcerowsecurity,
                  relowner::regrole, relacl, reloptions, relreplident)
      FROM relations
    UNION ALL
    SELECT format('column %s %s %s %s %s%s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull,
                  attidentity, attgenerated, attcollation::regcollation, attacl, pg_get_expr(adbin, adrelid))
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid IN (SELECT oid FROM relations) AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('view %s %s', oid::regclass, pg_get_viewdef(oid)) FROM relations WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT format('trigger %s %s', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
     WHERE tgrelid IN (SELECT oid FROM relations) AND NOT tgisinternal
    UNION ALL
    SELECT format('policy %s %s %s %s %s %s %s', polrelid::regclass, polname, polcmd, polpermissive, polroles::regrole[],
                  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
      FROM pg_policy
    UNION ALL
    SELECT format('routine %s %s %s %s %s %s %s %s', oid::regprocedure, prokind, proowner::regrole, prosecdef, provolatile, proacl, proconfig,
                  md5(concat(prosrc, pg_get_function_result(oid), pg_get_function_sqlbody(oid))))
      FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('type %s %s %s %s %s', oid::regtype, typtype, typowner::regrole, typacl, typdefault) FROM pg_type
     WHERE typnamespace IN (SELECT oid FROM ours) AND typtype IN ('d', 'e', 'r', 'm')
    UNION ALL
    SELECT format('label %s %s %s', enumtypid::regtype, enumsortorder, enumlabel) FROM pg_enum
    UNION ALL
    SELECT format('extension %s %s', extname, extversion) FROM pg_extension
    UNION ALL
    SELECT format('publication %s %s%s%s%s', pubname, pubinsert, pubupdate, pubdelete, pubtruncate) FROM pg_publication
    UNION ALL
    SELECT format('published %s %s.%s', pubname, schemaname, tablename) FROM pg_publication_tables
    UNION ALL
    SELECT format('event trigger %s %s %s %s', evtname, evtevent, evtenabled, evtfoid::regprocedure) FROM pg_event_trigger
    UNION ALL
    SELECT format('setting %s %s', setrole, setconfig) FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex') FROM lines

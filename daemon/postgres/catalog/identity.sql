-- Whatever in a database decides what a rehearsal finds: what it is, and how it is. No oid, and nothing that changes with its rows;
-- rights sorted, and a default spelled out: a restore grants them in another order.
WITH ours AS (
    SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'cutoverd')
), relations AS (
    SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), lines (what, state) AS (
    SELECT format('schema %s', oid::regnamespace), format('%s %s', nspowner::regrole,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C")
                     FROM unnest(coalesce(nspacl, acldefault('n', nspowner))) a))
      FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('relation %s', oid::regclass),
           format('%s%s %s %s %s %s %s %s', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relowner::regrole,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C")
                     FROM unnest(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a),
                  reloptions, relreplident)
      FROM relations
    UNION ALL
    SELECT format('column %s.%I', attrelid::regclass, attname),
           format('%s %s %s%s %s %s %s', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
                  attcollation::regcollation,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(attacl) a), pg_get_expr(adbin, adrelid))
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid IN (SELECT oid FROM relations) AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('constraint %I of %s', conname, conrelid::regclass), pg_get_constraintdef(oid)
      FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('index %s', indexrelid::regclass), pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('view %s', oid::regclass), pg_get_viewdef(oid) FROM relations WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT format('trigger %I of %s', tgname, tgrelid::regclass), format('%s %s', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
     WHERE tgrelid IN (SELECT oid FROM relations) AND NOT tgisinternal
    UNION ALL
    SELECT format('policy %I of %s', polname, polrelid::regclass),
           format('%s %s %s %s %s', polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid),
                  pg_get_expr(polwithcheck, polrelid))
      FROM pg_policy
    UNION ALL
    SELECT format('routine %s', oid::regprocedure),
           format('%s %s %s %s %s %s %s', prokind, proowner::regrole, prosecdef, provolatile,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C")
                     FROM unnest(coalesce(proacl, acldefault('f', proowner))) a),
                  proconfig,
                  md5(concat(prosrc, pg_get_function_result(oid), pg_get_function_sqlbody(oid))))
      FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('type %s', oid::regtype), format('%s %s %s %s', typtype, typowner::regrole,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C")
                     FROM unnest(coalesce(typacl, acldefault('T', typowner))) a), typdefault) FROM pg_type
     WHERE typnamespace IN (SELECT oid FROM ours) AND typtype IN ('d', 'e', 'r', 'm')
    UNION ALL
    SELECT format('label %L of %s', enumlabel, enumtypid::regtype), enumsortorder::text FROM pg_enum
    UNION ALL
    SELECT format('extension %I', extname), extversion FROM pg_extension
    UNION ALL
    SELECT format('publication %I', pubname), format('%s%s%s%s', pubinsert, pubupdate, pubdelete, pubtruncate) FROM pg_publication
    UNION ALL
    SELECT format('table %I.%I of publication %I', schemaname, tablename, pubname), '' FROM pg_publication_tables
    UNION ALL
    SELECT format('event trigger %I', evtname), format('%s %s %s', evtevent, evtenabled, evtfoid::regprocedure) FROM pg_event_trigger
    UNION ALL
    SELECT format('settings of %s', CASE setrole WHEN 0 THEN 'the database' ELSE setrole::regrole::text END), setconfig::text
      FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT what, state FROM lines

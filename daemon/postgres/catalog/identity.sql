-- Whatever in a database decides what a rehearsal finds: what it is, and how it is. Neither its name nor an oid, and nothing that
-- changes with its rows. A faithful restore gives the same lines: what has no order is sorted, a default is spelled out, numbers
-- are ranks, expressions are read from their trees, and whose an extension's members are is not asked, as no dump says it.
WITH ours AS (
    SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'cutoverd')
), relations AS (
    SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
), members AS (
    SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
), owned (classid, objid, owner, acl) AS (
    SELECT 'pg_namespace'::regclass::oid, oid, nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
    UNION ALL
    SELECT 'pg_class'::regclass::oid, oid, relowner,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
      FROM relations
    UNION ALL
    SELECT 'pg_proc'::regclass::oid, oid, proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
     WHERE pronamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'pg_type'::regclass::oid, oid, typowner, coalesce(typacl, acldefault('T', typowner)) FROM pg_type
     WHERE typnamespace IN (SELECT oid FROM ours) AND typcategory <> 'A'
       AND (typrelid = 0 OR typrelid IN (SELECT oid FROM relations WHERE relkind = 'c'))
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass::oid, oid, fdwowner, coalesce(fdwacl, acldefault('F', fdwowner))
      FROM pg_foreign_data_wrapper
    UNION ALL
    SELECT 'pg_foreign_server'::regclass::oid, oid, srvowner, coalesce(srvacl, acldefault('S', srvowner)) FROM pg_foreign_server
), rights (classid, objid, is_member, is_of) AS (
    SELECT classid, objid, m.objid IS NOT NULL,
           CASE WHEN m.objid IS NULL
                THEN format('%s %s', owner::regrole,
                            (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(acl) a))
                ELSE (SELECT string_agg(a, ',' ORDER BY a COLLATE "C")
                        FROM (SELECT format('%s=%s %s', grantee::regrole, privilege_type, is_grantable) FROM aclexplode(acl)
                               WHERE grantee <> owner) AS of_others (a)) END
      FROM owned LEFT JOIN members m USING (classid, objid)
), lines (what, state) AS (
    SELECT 'database', datdba::regrole::text FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT format('schema %s', oid::regnamespace), is_of
      FROM pg_namespace JOIN rights ON classid = 'pg_namespace'::regclass AND objid = oid WHERE oid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('default privileges of %s for %s in %s', defaclrole::regrole, defaclobjtype, defaclnamespace::regnamespace),
           (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(defaclacl) a)
      FROM pg_default_acl
    UNION ALL
    SELECT format('relation %s', oid::regclass),
           format('%s%s %s %s %s %s %s %s %s %s', relkind, relpersistence, relrowsecurity, relforcerowsecurity, is_of, reloptions,
                  relreplident, (SELECT amname FROM pg_am WHERE oid = relam), reloftype::regtype, relispopulated)
      FROM relations JOIN rights ON classid = 'pg_class'::regclass AND objid = oid WHERE relkind <> 'c'
    UNION ALL
    SELECT format('partitions of %s', oid::regclass), pg_get_partkeydef(oid) FROM relations WHERE relkind = 'p'
    UNION ALL
    SELECT format('bounds of partition %s', oid::regclass), pg_get_expr(relpartbound, oid) FROM relations WHERE relispartition
    UNION ALL
    SELECT format('parents of %s', inhrelid::regclass),
           string_agg(format('%s %s', inhparent::regclass, inhdetachpending), ',' ORDER BY inhseqno)
      FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relnamespace IN (SELECT oid FROM ours) GROUP BY inhrelid
    UNION ALL
    -- a restored child has its parents' columns first
    SELECT format('column %s.%I', attrelid::regclass, attname),
           format('%s %s %s %s%s %s %s %s %s',
                  CASE WHEN relispartition OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = attrelid)
                       THEN row_number() OVER (PARTITION BY attrelid ORDER BY attnum) END,
                  format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation::regcollation,
                  (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(attacl) a),
                  pg_get_expr(adbin, adrelid),
                  (SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(attfdwoptions) o))
      FROM pg_attribute JOIN relations c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('constraint %I of %s', conname, conrelid::regclass), pg_get_constraintdef(oid)
      FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relations)
    UNION ALL
    -- no dump has an index that is not valid; that of a partitioned table is not valid either where a foreign partition has none
    SELECT format('%sindex %s', CASE WHEN NOT indisvalid AND c.relkind <> 'p' THEN 'invalid ' END, indexrelid::regclass),
           format('%s %s', pg_get_indexdef(indexrelid), indisreplident)
      FROM pg_index JOIN relations c ON c.oid = indrelid
    UNION ALL
    SELECT format('invalid index of partitions %s', indexrelid::regclass), '' FROM pg_index JOIN relations c ON c.oid = indrelid
     WHERE NOT indisvalid AND c.relkind = 'p'
    UNION ALL
    SELECT format('view %s', oid::regclass), pg_get_viewdef(oid) FROM relations WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT format('rule %I of %s', rulename, ev_class::regclass), format('%s %s', ev_enabled, pg_get_ruledef(oid)) FROM pg_rewrite
     WHERE rulename <> '_RETURN' AND ev_class IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('sequence %s', seqrelid::regclass),
           format('%s %s %s %s %s %s %s %s', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
                  (SELECT format('%s %s.%I', deptype, attrelid::regclass, attname)
                     FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
                    WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND refclassid = 'pg_class'::regclass
                      AND deptype IN ('a', 'i')))
      FROM pg_sequence WHERE seqrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('trigger %I of %s', tgname, tgrelid::regclass), format('%s %s', tgenabled, pg_get_triggerdef(oid))
      FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relations) AND NOT tgisinternal
    UNION ALL
    SELECT format('policy %I of %s', polname, polrelid::regclass),
           format('%s %s %s %s %s', polcmd, polpermissive,
                  (SELECT string_agg(r::regrole::text, ',' ORDER BY r::regrole::text COLLATE "C") FROM unnest(polroles) r),
                  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
      FROM pg_policy WHERE polrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('statistics %s.%I', stxnamespace::regnamespace, stxname),
           format('%s %s', stxowner::regrole, pg_get_statisticsobjdef(oid))
      FROM pg_statistic_ext WHERE stxnamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('routine %s', oid::regprocedure),
           format('%s %s', is_of, md5(CASE prokind WHEN 'a' THEN to_jsonb(g)::text ELSE pg_get_functiondef(oid) END))
      FROM pg_proc JOIN rights ON classid = 'pg_proc'::regclass AND objid = oid LEFT JOIN LATERAL (
           SELECT aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn,
                  aggminvtransfn, aggmfinalfn, aggfinalextra, aggmfinalextra, aggfinalmodify, aggmfinalmodify,
                  aggsortop::regoperator::text, aggtranstype::regtype::text, aggtransspace, aggmtranstype::regtype::text,
                  aggmtransspace, agginitval, aggminitval,
                  pg_get_function_arguments(oid), pg_get_function_result(oid), proparallel
             FROM pg_aggregate WHERE aggfnoid = oid) g ON true
    UNION ALL
    SELECT format('type %s', t.oid::regtype),
           format('%s %s %s %s %s %s', typtype, is_of, coalesce(pg_get_expr(typdefaultbin, 0), typdefault), typnotnull,
                  typcollation::regcollation,
                  CASE typtype WHEN 'd' THEN format_type(typbasetype, typtypmod)
                               WHEN 'b' THEN format('%s %s %s %s %s', typinput, typoutput, typlen, typalign, typstorage) END)
      FROM pg_type t JOIN rights ON classid = 'pg_type'::regclass AND objid = t.oid
     WHERE typtype <> 'p' AND NOT (typtype = 'b' AND is_member)
    UNION ALL
    SELECT format('range %s', rngtypid::regtype),
           format('%s %s %s %s %s', rngsubtype::regtype, rngcollation::regcollation, rngcanonical, rngsubdiff,
                  (SELECT format('%s.%I', opcnamespace::regnamespace, opcname) FROM pg_opclass WHERE oid = rngsubopc))
      FROM pg_range JOIN pg_type t ON t.oid = rngtypid WHERE typnamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('constraint %I of domain %s', conname, contypid::regtype), pg_get_constraintdef(oid)
      FROM pg_constraint WHERE contypid <> 0 AND contype = 'c' AND connamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT format('label %L of %s', enumlabel, enumtypid::regtype),
           (rank() OVER (PARTITION BY enumtypid ORDER BY enumsortorder))::text
      FROM pg_enum
    UNION ALL
    SELECT format('extension %I', extname), extversion FROM pg_extension
    UNION ALL
    SELECT format('schema of extension %I', extname), extnamespace::regnamespace::text FROM pg_extension
    UNION ALL
    SELECT format('publication %I', pubname), format('%s %s', pubowner::regrole, to_jsonb(p) - '{oid,pubname,pubowner}'::text[])
      FROM pg_publication p
    UNION ALL
    SELECT format('table %s of publication %I', prrelid::regclass, pubname),
           format('%s where %s', (SELECT string_agg(quote_ident(attname), ',' ORDER BY attname COLLATE "C")
                                    FROM unnest(prattrs::int2[]) k JOIN pg_attribute ON attrelid = prrelid AND attnum = k),
                  pg_get_expr(prqual, prrelid))
      FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid
    UNION ALL
    SELECT format('schema %s of publication %I', pnnspid::regnamespace, pubname), ''
      FROM pg_publication_namespace JOIN pg_publication p ON p.oid = pnpubid
    UNION ALL
    SELECT format('event trigger %I', evtname),
           format('%s %s %s %s', evtevent, evtenabled, evtfoid::regprocedure,
                  (SELECT string_agg(t, ',' ORDER BY t COLLATE "C") FROM unnest(evttags) t))
      FROM pg_event_trigger
    UNION ALL
    SELECT format('cast (%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)),
           format('%s %s %s', castfunc::regprocedure, castcontext, castmethod)
      FROM pg_cast LEFT JOIN members ON classid = 'pg_cast'::regclass AND objid = oid WHERE oid >= 16384 AND objid IS NULL
    UNION ALL
    SELECT format('operator %s', oid::regoperator),
           format('%s %s %s %s %s %s %s %s', oprowner::regrole, oprcode, oprcom::regoperator, oprnegate::regoperator, oprrest,
                  oprjoin, oprcanmerge, oprcanhash)
      FROM pg_operator LEFT JOIN members ON classid = 'pg_operator'::regclass AND objid = oid
     WHERE oprnamespace IN (SELECT oid FROM ours) AND objid IS NULL
    UNION ALL
    SELECT format('operator class %s.%I for %s', opcnamespace::regnamespace, opcname, amname),
           format('%s %s %s %s %s.%I', opcowner::regrole, opcintype::regtype, opckeytype::regtype, opcdefault,
                  opfnamespace::regnamespace, opfname)
      FROM pg_opclass c JOIN pg_am ON pg_am.oid = opcmethod JOIN pg_opfamily f ON f.oid = opcfamily
      LEFT JOIN members ON classid = 'pg_opclass'::regclass AND objid = c.oid
     WHERE opcnamespace IN (SELECT oid FROM ours) AND objid IS NULL
    UNION ALL
    SELECT format('operator family %s.%I for %s', opfnamespace::regnamespace, opfname, amname),
           format('%s %s %s', opfowner::regrole,
                  (SELECT string_agg(o, ',' ORDER BY o COLLATE "C")
                     FROM (SELECT format('%s %s %s', amopstrategy, amopopr::regoperator, amoppurpose) FROM pg_amop
                            WHERE amopfamily = f.oid) AS operators (o)),
                  (SELECT string_agg(p, ',' ORDER BY p COLLATE "C")
                     FROM (SELECT format('%s %s %s %s', amproclefttype::regtype, amprocrighttype::regtype, amprocnum,
                                         amproc::oid::regprocedure)
                             FROM pg_amproc WHERE amprocfamily = f.oid) AS functions (p)))
      FROM pg_opfamily f JOIN pg_am ON pg_am.oid = opfmethod
      LEFT JOIN members ON classid = 'pg_opfamily'::regclass AND objid = f.oid
     WHERE opfnamespace IN (SELECT oid FROM ours) AND objid IS NULL
    UNION ALL
    SELECT format('collation %s', oid::regcollation),
           format('%s %s', collowner::regrole, to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion}'::text[])
      FROM pg_collation c LEFT JOIN members ON classid = 'pg_collation'::regclass AND objid = oid
     WHERE collnamespace IN (SELECT oid FROM ours) AND objid IS NULL
    UNION ALL
    SELECT format('text search dictionary %s', d.oid::regdictionary),
           format('%s %s.%I %s', dictowner::regrole, tmplnamespace::regnamespace, tmplname, dictinitoption)
      FROM pg_ts_dict d JOIN pg_ts_template t ON t.oid = dicttemplate
      LEFT JOIN members ON classid = 'pg_ts_dict'::regclass AND objid = d.oid
     WHERE dictnamespace IN (SELECT oid FROM ours) AND objid IS NULL
    UNION ALL
    SELECT format('text search configuration %s', c.oid::regconfig),
           format('%s %s.%I %s', cfgowner::regrole, prsnamespace::regnamespace, prsname,
                  (SELECT string_agg(format('%s %s', maptokentype, mapdict::regdictionary), ',' ORDER BY maptokentype, mapseqno)
                     FROM pg_ts_config_map WHERE mapcfg = c.oid))
      FROM pg_ts_config c JOIN pg_ts_parser p ON p.oid = cfgparser
      LEFT JOIN members ON classid = 'pg_ts_config'::regclass AND objid = c.oid
     WHERE cfgnamespace IN (SELECT oid FROM ours) AND objid IS NULL
    UNION ALL
    SELECT format('foreign data wrapper %I', fdwname),
           format('%s %s %s %s', is_of, fdwhandler::regproc, fdwvalidator::regproc,
                  (SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(fdwoptions) o))
      FROM pg_foreign_data_wrapper JOIN rights ON classid = 'pg_foreign_data_wrapper'::regclass AND objid = oid
    UNION ALL
    SELECT format('server %I', srvname), format('%s %I %s %s', is_of, fdwname, srvtype, srvversion)
      FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = srvfdw
      JOIN rights ON classid = 'pg_foreign_server'::regclass AND objid = s.oid
    UNION ALL
    -- where it leads: a copy does well to lead elsewhere, or nowhere
    SELECT format('options of server %I', srvname), (SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(srvoptions) o)
      FROM pg_foreign_server
    UNION ALL
    SELECT format('user mapping of %I on %I', usename, srvname), '' FROM pg_user_mappings
    UNION ALL
    SELECT format('foreign table %s', ftrelid::regclass),
           format('%I %s', srvname, (SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(ftoptions) o))
      FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver
    UNION ALL
    SELECT format('settings of %s', CASE setrole WHEN 0 THEN 'the database' ELSE setrole::regrole::text END),
           (SELECT string_agg(s, ',' ORDER BY s COLLATE "C") FROM unnest(setconfig) s)
      FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT what, state FROM lines

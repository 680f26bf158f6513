-- What is not in a database, and decides all the same what a rehearsal finds in it: who we are, whom its owners and grants name
-- and what these may by their memberships, which settings hold, what the server is. Of another server it is another matter: no
-- copy is asked for it. Not the members of a role: a colleague who joins the readers changes nothing. `roles`: that the plan
-- names. Temporary tables and large objects come and go with the rows.
WITH RECURSIVE here AS (
    SELECT * FROM pg_database WHERE datname = current_database()
), named AS (
    SELECT refobjid AS oid FROM pg_shdepend s, here
     WHERE refclassid = 'pg_authid'::regclass
       AND (dbid = here.oid AND classid <> 'pg_largeobject'::regclass
            AND NOT (classid = 'pg_class'::regclass
                     AND EXISTS (SELECT FROM pg_class c WHERE c.oid = objid AND relpersistence = 't'))
            OR classid = 'pg_database'::regclass AND objid = here.oid)
    UNION SELECT datdba FROM here
    UNION SELECT oid FROM pg_roles WHERE rolname = session_user OR rolname = ANY (%(roles)s::text[])
), with_groups AS (
    SELECT oid FROM named UNION SELECT roleid FROM pg_auth_members JOIN with_groups ON member = with_groups.oid
), lines (what, state) AS (
    SELECT 'our role', session_user::text
    UNION ALL
    SELECT 'server', (current_setting('server_version_num')::int / 10000)::text
    UNION ALL
    SELECT 'rights of the database', (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C")
                                        FROM unnest(coalesce(datacl, acldefault('d', datdba))) a) FROM here
    UNION ALL
    SELECT 'locale', format('%%s %%s %%s %%s %%s %%s', encoding, datcollate, datctype, datlocprovider,
                            coalesce(to_jsonb(here) ->> 'datlocale', to_jsonb(here) ->> 'daticulocale'),
                            to_jsonb(here) ->> 'daticurules')
      FROM here
    UNION ALL
    SELECT format('role %%I', rolname), format('%%s %%s %%s', rolsuper, rolinherit, rolbypassrls)
      FROM pg_roles WHERE oid IN (SELECT oid FROM with_groups)
    UNION ALL
    SELECT format('membership of %%s in %%s', member::regrole, roleid::regrole),
           (to_jsonb(m) - '{oid,roleid,member,grantor}'::text[])::text
      FROM pg_auth_members m WHERE member IN (SELECT oid FROM with_groups)
    UNION ALL
    SELECT format('settings of %%s', setrole::regrole),
           (SELECT string_agg(s, ',' ORDER BY s COLLATE "C") FROM unnest(setconfig) s)
      FROM pg_db_role_setting, here
     WHERE setdatabase = 0 AND (setrole IN (0, datdba) OR setrole = (SELECT oid FROM pg_roles WHERE rolname = session_user))
)
SELECT what, md5(state) FROM lines

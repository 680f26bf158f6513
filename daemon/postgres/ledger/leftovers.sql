-- the databases of one run by oid, and the unfinished ones that no run has recorded and no other run has announced, by name
WITH ours AS (
    SELECT o.role, o.oid, d.datname, NULL::text AS announced
    FROM cutoverd.database_oids o LEFT JOIN pg_database d ON d.oid = o.oid
    WHERE o.run = %(run)s
    UNION ALL
    SELECT 'unfinished', d.oid, d.datname, a.name
    FROM cutoverd.announced a JOIN pg_database d ON d.datname = a.name AND d.oid = coalesce(a.oid, d.oid)
    WHERE a.run = %(run)s
      AND d.oid NOT IN (SELECT oid FROM cutoverd.database_oids)
      AND NOT EXISTS (SELECT FROM cutoverd.announced other WHERE other.name = a.name AND other.run <> a.run
                        AND d.oid = coalesce(other.oid, d.oid))
)
SELECT ours.role, ours.oid::bigint, ours.datname, ours.announced,
    pg_database_size(d.oid),
    (SELECT max(at) FROM cutoverd.step_log s
     WHERE s.run = %(run)s AND s.direction = 'forward' AND s.step = (%(steps)s::jsonb) ->> ours.role),
    ARRAY(SELECT format('%%s %%s of %%s (%%s)', a.backend_type, a.pid, a.usename, a.application_name)
          FROM pg_stat_activity a WHERE a.datid = d.oid AND a.backend_type IS DISTINCT FROM 'autovacuum worker'),
    pg_has_role(d.datdba, 'USAGE'),
    pg_get_userbyid(d.datdba),
    NOT d.datallowconn OR NOT EXISTS (
        SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) acl
        WHERE acl.privilege_type = 'CONNECT' AND acl.grantee <> (SELECT oid FROM pg_roles WHERE rolname = current_user))
FROM ours LEFT JOIN pg_database d ON d.oid = ours.oid
ORDER BY ours.datname, ours.oid

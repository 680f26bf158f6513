"""What pg_dump and the comparisons may not read, each with the statement that lets them: row level security and large objects."""

from __future__ import annotations

from psycopg import sql

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

SHOWN = 10
# As the server has it: nothing is hidden from who bypasses it, or acts for the owner of a table that does not force it.
SECURED = """
SELECT format('%I.%I', n.nspname, c.relname), pg_get_userbyid(c.relowner)::text,
       c.relforcerowsecurity AND pg_has_role(c.relowner, 'USAGE')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles me ON me.rolname = current_user
 WHERE c.relrowsecurity AND NOT me.rolbypassrls AND NOT me.rolsuper
   AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')) ORDER BY 1
"""
FORCED = """
SELECT format('%I.%I', n.nspname, c.relname), pg_get_userbyid(d.datdba)::text
  FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba JOIN pg_class c ON c.relrowsecurity
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE d.datname = current_database() AND NOT o.rolbypassrls AND NOT o.rolsuper
   AND (c.relforcerowsecurity OR NOT pg_has_role(d.datdba, c.relowner, 'USAGE')) ORDER BY 1
"""
LARGE_OBJECTS = """
SELECT m.oid::text, pg_get_userbyid(m.lomowner)::text
  FROM pg_largeobject_metadata m JOIN pg_roles me ON me.rolname = current_user
 WHERE NOT me.rolsuper AND current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(m.lomowner, 'USAGE')
   AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a
                    WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
 ORDER BY m.oid
"""


async def cannot_dump(conn: Connection) -> list[str]:
    """Reasons; `conn` is in production, in a session as pg_dump will have one."""
    us = sql.Identifier(conn.info.user).as_string(conn)
    reasons = []
    if secured := await fetch_all(conn, SECURED):
        tables = ", ".join(
            f"{table} (forced on {owner})" if forced else f"{table} (of {owner})" for table, owner, forced in secured
        )
        reasons.append(
            f"row level security hides rows of {tables} from {conn.info.user}, so neither a dump nor a comparison can have all: "
            f"ALTER ROLE {us} BYPASSRLS"
        )
    if objects := await fetch_all(conn, LARGE_OBJECTS):
        named = ", ".join(f"{oid} (of {owner})" for oid, owner in objects[:SHOWN])
        more = f" and {len(objects) - SHOWN} more" if len(objects) > SHOWN else ""
        reasons.append(
            f"large object {named}{more} may not be read by {conn.info.user}, so no dump can be taken: ALTER ROLE {us} SET "
            f"lo_compat_privileges = on, or GRANT SELECT ON LARGE OBJECT {objects[0][0]} TO {us} for each"
        )
    return reasons


async def hidden_from_scripts(conn: Connection) -> list[tuple[str, str]]:
    """Tables of which the database's owner, as whom the scripts run, does not see all rows, and the owner."""
    return [(table, owner) for table, owner in await fetch_all(conn, FORCED)]

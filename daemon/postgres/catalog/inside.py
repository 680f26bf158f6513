"""Who is in a database."""

from __future__ import annotations

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

ENDS = "a superuser ends a superuser's session"
# autovacuum workers give way to a rename by themselves
INSIDE = """
SELECT pid, usename, application_name, client_addr::text, backend_type, state FROM pg_stat_activity
WHERE datid = %s AND pid <> ALL (ARRAY[pg_backend_pid(), %s]) AND backend_type IS DISTINCT FROM 'autovacuum worker'
"""


async def read_inside(conn: Connection, oid: int, *, ours: int = 0) -> dict[int, str]:
    """Who is in the database, in words, by pid."""
    rows = await fetch_all(conn, INSIDE, (oid, ours))
    return {row[0]: f"{row[4]} {row[0]} of {row[1]} ({row[2]})" for row in rows}

"""Who was met in new while CONNECT was withheld from him: remembered, for he may have written and left."""

from __future__ import annotations

from collections.abc import Iterable

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

NOTE = "INSERT INTO cutoverd.outsiders (run, role) SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING"
# in one statement, and nothing where nothing is withheld
NOTE_INSIDE = """
INSERT INTO cutoverd.outsiders (run, role)
SELECT DISTINCT w.run, a.usename
  FROM cutoverd.withheld w JOIN cutoverd.database_oids d ON d.run = w.run AND d.role = 'new'
  JOIN pg_catalog.pg_stat_activity a ON a.datid = d.oid
 WHERE w.run = %s AND a.usename <> current_user AND NOT w.but_for ? a.usename::text
ON CONFLICT DO NOTHING
"""


async def note_outsiders(conn: Connection, run: str, roles: Iterable[str]) -> None:
    await conn.execute(NOTE, (run, sorted(roles)))


async def note_inside(conn: Connection, run: str) -> None:
    """Whoever is in now, and not by a named role or ours."""
    await conn.execute(NOTE_INSIDE, (run,))


async def noted_outsiders(conn: Connection, run: str) -> set[str]:
    return {str(row[0]) for row in await fetch_all(conn, "SELECT role FROM cutoverd.outsiders WHERE run = %s", (run,))}

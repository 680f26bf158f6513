"""Whether the server takes a backslash in '…' as we do: SQL files are read before they are run, and by psql's sessions again.

It is refused, not switched on for the scripts: a file that was written where it is off would run as well, and mean something
else. Whoever switches it on for our role has looked at the files.
"""

from __future__ import annotations

from psycopg import sql

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

IS_OFF = "SELECT session_user, source FROM pg_settings WHERE name = 'standard_conforming_strings' AND setting = 'off'"
OF_BOTH = "database user"  # set for our role in this database: the one place that goes before our role's own


async def read_otherwise(inside: Connection) -> list[str]:
    """Why SQL files would not be what we read in them, asked in production itself, whose settings the clone keeps."""
    return [_says(inside, inside.info.dbname, *each) for each in await fetch_all(inside, IS_OFF)]


def _says(conn: Connection, database: str, role: str, source: str) -> str:
    whose = sql.Identifier(role).as_string(conn)
    within = f" IN DATABASE {sql.Identifier(database).as_string(conn)}" if source == OF_BOTH else ""
    return (
        f"standard_conforming_strings is off for sessions of {role} in {database} (it comes from: {source}), so a backslash "
        "in '…' is an escape there, and SQL files are read here as if it were none: write E'…' where one is meant, "
        f"then ALTER ROLE {whose}{within} SET standard_conforming_strings = on"
    )

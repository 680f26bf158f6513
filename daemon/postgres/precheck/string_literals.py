"""Whether the server takes a backslash in '…' as we do: SQL files are read before they are run, and by psql's sessions again.

It is refused, not switched on for the scripts: a file that was written where it is off would run as well, and mean something
else. Whoever switches it on for our role has looked at the files.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import OutcomeUnknown

REACH_SECONDS = 3.0
MAY_CONNECT = "SELECT 1 FROM pg_database WHERE oid = %s AND datallowconn AND has_database_privilege(oid, 'CONNECT')"
IS_OFF = "SELECT session_user, source FROM pg_settings WHERE name = 'standard_conforming_strings' AND setting = 'off'"
OF_BOTH = "database user"  # set for our role in this database: the one place that goes before our role's own


async def read_otherwise(conn: Connection, server: Server, row: DatabaseRow) -> tuple[list[str], list[str]]:
    """Why SQL files would not be what we read in them, asked in production itself, whose settings the clone keeps.

    And a warning where nobody lets us in, by a limit or pg_hba.conf: other reasons are not lost for that.
    """
    if not await fetch_one(conn, MAY_CONNECT, (row.oid,)):
        return [], []  # the backup will not get in either, and says so
    quick = replace(server, reach_seconds=min(server.reach_seconds, REACH_SECONDS))  # the server is up: it answered just now
    try:
        async with session(quick, row.name) as inside:
            found = await fetch_all(inside, IS_OFF)
            return [_says(inside, row.name, *each) for each in found], []
    except OutcomeUnknown as unknown:
        return [], [f"how sessions in {row.name} read a backslash could not be asked, and a backup could not be taken: {unknown}"]


def _says(conn: Connection, database: str, role: str, source: str) -> str:
    whose = sql.Identifier(role).as_string(conn)
    within = f" IN DATABASE {sql.Identifier(database).as_string(conn)}" if source == OF_BOTH else ""
    return (
        f"standard_conforming_strings is off for sessions of {role} in {database} (it comes from: {source}), so a backslash "
        "in '…' is an escape there, and SQL files are read here as if it were none: write E'…' where one is meant, "
        f"then ALTER ROLE {whose}{within} SET standard_conforming_strings = on"
    )

"""What is asked in production itself, in a session such as the plan's files will have."""

from __future__ import annotations

from dataclasses import replace

from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.precheck import session_settings, string_literals
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.refusal import Refused
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import OutcomeUnknown

REACH_SECONDS = 3.0
MAY_CONNECT = "SELECT 1 FROM pg_database WHERE oid = %s AND datallowconn AND has_database_privilege(oid, 'CONNECT')"


async def ask_inside(conn: Connection, server: Server, row: DatabaseRow) -> tuple[list[str], list[str]]:
    """Reasons, and warnings; only that where nobody lets us in, by a limit or pg_hba.conf: other reasons are not lost for it."""
    if not await fetch_one(conn, MAY_CONNECT, (row.oid,)):
        return [], []  # the backup will not get in either, and says so
    quick = replace(server, reach_seconds=min(server.reach_seconds, REACH_SECONDS))  # the server is up: it answered just now
    try:
        async with session(quick, row.name, of_plan=True) as inside:
            await inside.execute("SET search_path = pg_catalog, pg_temp")
            reasons = [*await string_literals.read_otherwise(inside), *await session_settings.unchecked_rows(inside)]
            return reasons, await session_settings.to_know(inside)
    except Refused as refused:
        return [f"{refused}: {refused.hint}"], []
    except OutcomeUnknown as unknown:
        return [], [f"how sessions in {row.name} read a backslash could not be asked, and a backup could not be taken: {unknown}"]

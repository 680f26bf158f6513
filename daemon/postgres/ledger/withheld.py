"""From whom CONNECT on new is withheld between the swap and the opening: from everybody but these roles and ours."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

WITHHOLD = """
INSERT INTO cutoverd.withheld (run, but_for) VALUES (%s, %s) ON CONFLICT (run) DO UPDATE SET but_for = excluded.but_for
"""


async def withhold(conn: Connection, run: str, but_for: Sequence[str]) -> None:
    await conn.execute(WITHHOLD, (run, Jsonb(list(but_for))))


async def withheld_but_for(conn: Connection, run: str) -> list[str] | None:
    """The roles that may connect meanwhile; None if nothing is withheld."""
    row = await fetch_one(conn, "SELECT but_for FROM cutoverd.withheld WHERE run = %s", (run,))
    return list(row[0]) if row else None


async def withhold_no_more(conn: Connection, run: str) -> None:
    await conn.execute("DELETE FROM cutoverd.withheld WHERE run = %s", (run,))

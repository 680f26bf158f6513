"""What was counted of old at its turning points, in the ledger: a server that crashed has forgotten its own counters."""

from __future__ import annotations

from typing import Any, Literal

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.ports import Evidence

CountersMoment = Literal["opened", "closed", "exchanged"]

KEEP = """
INSERT INTO cutoverd.counters (run, moment, seen) VALUES (%s, %s, %s)
ON CONFLICT (run, moment) DO UPDATE SET seen = excluded.seen
"""


async def keep_counters(conn: Connection, run: str, moment: CountersMoment, counted: Evidence) -> None:
    await conn.execute(KEEP, (run, moment, Jsonb(dict(counted))))


async def kept_counters(conn: Connection, run: str) -> dict[str, dict[str, Any]]:
    """Moment → what was counted then."""
    return dict(await fetch_all(conn, "SELECT moment, seen FROM cutoverd.counters WHERE run = %s", (run,)))


async def forget_counters(conn: Connection, run: str, moment: CountersMoment) -> None:
    await conn.execute("DELETE FROM cutoverd.counters WHERE run = %s AND moment = %s", (run, moment))

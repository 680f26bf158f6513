"""Rehearsals on record: which database was rehearsed with which files, when, by whom, and what each step took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

KEEP = """
INSERT INTO cutoverd.rehearsals (database, identity, made_by, seconds) VALUES (%s, %s, %s, %s)
ON CONFLICT (database, identity) DO UPDATE
SET made_by = excluded.made_by, seconds = excluded.seconds, at = clock_timestamp()
"""
IS_THERE = b"SELECT to_regclass('cutoverd.rehearsals') IS NOT NULL"
FIND = """
SELECT at, extract(epoch FROM clock_timestamp() - at)::float8, made_by, seconds FROM cutoverd.rehearsals
 WHERE database = %s AND identity = %s
"""


@dataclass(frozen=True)
class RehearsalOnRecord:
    """One that found nothing wrong."""

    at: datetime
    age_seconds: float  # by the server's clock
    made_by: str  # the run, or `rehearsal.` of the command
    seconds: Mapping[str, float]  # by rehearsed step


async def keep(conn: Connection, database: str, identity: str, made_by: str, seconds: Mapping[str, float]) -> None:
    await conn.execute(KEEP, (database, identity, made_by, Jsonb(dict(seconds))))


async def find(conn: Connection, database: str, identity: str) -> RehearsalOnRecord | None:
    """None also in a ledger of an older version, which `check` makes no table in."""
    if await fetch_one(conn, IS_THERE) != (True,):
        return None
    row = await fetch_one(conn, FIND, (database, identity))
    return RehearsalOnRecord(*row) if row else None

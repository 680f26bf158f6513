"""Rehearsals on record: which database was rehearsed with which files, when, by whom, and what each step took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

KEEP = """
INSERT INTO cutoverd.rehearsals (database, identity, made_by, seconds, parts, production_bytes) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (database, identity) DO UPDATE
SET made_by = excluded.made_by, seconds = excluded.seconds, parts = excluded.parts,
    production_bytes = excluded.production_bytes, at = clock_timestamp()
"""
IS_THERE = b"SELECT to_regclass('cutoverd.rehearsals') IS NOT NULL"
FIND = b"""
SELECT identity, at, extract(epoch FROM clock_timestamp() - at)::float8, made_by, seconds, parts, production_bytes
  FROM cutoverd.rehearsals WHERE database = %s ORDER BY at DESC
"""


@dataclass(frozen=True)
class RehearsalOnRecord:
    """One that found nothing wrong."""

    identity: str
    at: datetime
    age_seconds: float  # by the server's clock
    made_by: str  # the run, or `rehearsal.` of the command
    seconds: Mapping[str, float]  # by rehearsed step
    parts: Mapping[str, float]  # seconds of dump and restore
    production_bytes: int | None


async def keep(
    conn: Connection,
    database: str,
    identity: str,
    made_by: str,
    seconds: Mapping[str, float],
    parts: Mapping[str, float],
    production_bytes: int,
) -> None:
    await conn.execute(KEEP, (database, identity, made_by, Jsonb(dict(seconds)), Jsonb(dict(parts)), production_bytes))


async def find_all(conn: Connection, database: str) -> list[RehearsalOnRecord]:
    """Of whatever files, the newest first; none also in a ledger of an older version, which `check` makes no table in."""
    if await fetch_one(conn, IS_THERE) != (True,):
        return []
    return [RehearsalOnRecord(*row) for row in await fetch_all(conn, FIND, (database,))]

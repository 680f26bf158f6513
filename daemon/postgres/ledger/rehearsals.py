"""Rehearsals on record: which database was rehearsed with which files, when, by whom, and what each step took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

KEEP = """
INSERT INTO cutoverd.rehearsals (database, identity, made_by, seconds, parts, production_bytes, place, is_elsewhere, catalog, at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s::timestamptz, clock_timestamp()))
ON CONFLICT (database, identity) DO UPDATE
SET made_by = excluded.made_by, seconds = excluded.seconds, parts = excluded.parts,
    production_bytes = excluded.production_bytes, place = excluded.place, is_elsewhere = excluded.is_elsewhere,
    catalog = excluded.catalog,
    at = least(greatest(rehearsals.at, excluded.at), clock_timestamp())
"""
IS_THERE = b"SELECT to_regclass('cutoverd.rehearsals') IS NOT NULL"
FIND = b"""
SELECT identity, at, extract(epoch FROM clock_timestamp() - at)::float8, made_by, seconds, parts, production_bytes,
       place, is_elsewhere
  FROM cutoverd.rehearsals WHERE database = %s AND at <= clock_timestamp() ORDER BY at DESC
"""


@dataclass(frozen=True)
class Where:
    """The copy that was rehearsed on."""

    place: str = ""  # of one that the team has made; "": of the backup that was restored
    is_elsewhere: bool = False  # on another server, whose seconds say nothing of production's


HERE = Where()


@dataclass(frozen=True)
class Rehearsal:
    """One that found nothing wrong, as it is recorded."""

    made_by: str  # the run, or `rehearsal.` of the command
    seconds: Mapping[str, float]  # by rehearsed step
    parts: Mapping[str, float]  # seconds of dump and restore
    production_bytes: int
    where: Where = HERE
    catalog: Mapping[str, str] = field(default_factory=dict)  # a hash of each object of production, by what it is
    at: str | None = None  # when the backup was taken, where that is another day: its age is the record's


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
    where: Where = HERE


async def keep(conn: Connection, database: str, identity: str, made: Rehearsal) -> None:
    values = (database, identity, made.made_by, Jsonb(dict(made.seconds)), Jsonb(dict(made.parts)), made.production_bytes)
    await conn.execute(KEEP, (*values, made.where.place, made.where.is_elsewhere, Jsonb(dict(made.catalog)), made.at))


async def find_catalog(conn: Connection, database: str, identity: str) -> dict[str, str]:
    query = b"SELECT catalog FROM cutoverd.rehearsals WHERE database = %s AND identity = %s"
    [catalog] = await fetch_one(conn, query, (database, identity)) or ({},)
    return dict(catalog)


async def forget(conn: Connection, database: str, identity: str) -> bool:
    """Whether it was there."""
    query = b"DELETE FROM cutoverd.rehearsals WHERE database = %s AND identity = %s RETURNING 1"
    return await fetch_one(conn, query, (database, identity)) is not None


async def find_all(conn: Connection, database: str) -> list[RehearsalOnRecord]:
    """Of whatever files, the newest first, none of a time to come, which would never age.

    None also in a ledger of an older version, which `check` makes no table in.
    """
    if await fetch_one(conn, IS_THERE) != (True,):
        return []
    return [_on_record(*row) for row in await fetch_all(conn, FIND, (database,))]


def _on_record(*row: Any) -> RehearsalOnRecord:
    identity, at, age_seconds, made_by, seconds, parts, production_bytes, place, is_elsewhere = row
    where = Where(place, is_elsewhere)
    return RehearsalOnRecord(identity, at, age_seconds, made_by, seconds, parts, production_bytes, where)

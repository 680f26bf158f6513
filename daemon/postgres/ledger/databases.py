"""The ledger's second half: which database plays which role in a run, by oid, and which names the run has announced.

CREATE DATABASE can be in no transaction, so a name is announced before the database is made: a later daemon knows it as ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.ports import AttemptId

LEFTOVERS = Path(__file__).with_name("leftovers.sql").read_bytes()
Role = Literal["old", "new", "placeholder"]


class Grant(BaseModel):
    """One privilege of an ACL, roles by oid (0: PUBLIC)."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    grantee: int
    grantor: int
    privilege: Literal["CONNECT", "CREATE", "TEMPORARY"]
    grantable: bool


class Settings(BaseModel):
    """One row of pg_db_role_setting: `name=value` in their order; without a role, the database's own."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    role: str | None
    config: tuple[str, ...]


class DatabaseRow(BaseModel):
    """A row of pg_database and all that hangs on it and that a clone loses."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    oid: int
    name: str
    owner: str
    accepts_connections: bool
    connection_limit: int
    acl: str | None  # as pg_database has it; None stands for the default
    grants: tuple[Grant, ...]  # of the ACL, or of the default, in its order
    settings: tuple[Settings, ...]
    comment: str | None


@dataclass(frozen=True)
class TrackedDatabase:
    """A database of this run, as it is called now and as it was when it was recorded."""

    oid: int
    name: str | None  # None: it is gone
    accepts_connections: bool
    row: DatabaseRow


TRACKED = """
SELECT o.role, o.oid::bigint, d.datname, coalesce(d.datallowconn, false), o.row
FROM cutoverd.database_oids o LEFT JOIN pg_database d ON d.oid = o.oid WHERE o.run = %s
"""


async def tracked_databases(conn: Connection, run: str) -> Mapping[str, TrackedDatabase]:
    """Role → database, of those that this run has recorded."""
    rows = await fetch_all(conn, TRACKED, (run,))
    return {role: TrackedDatabase(oid, name, accepts, DatabaseRow.model_validate(row)) for role, oid, name, accepts, row in rows}


UNTRACKED = """
SELECT datname FROM pg_database d
WHERE datname = ANY(%s) AND NOT EXISTS (SELECT FROM cutoverd.database_oids o WHERE o.oid = d.oid) ORDER BY datname
"""


async def untracked_names(conn: Connection, names: Sequence[str]) -> list[str]:
    """Those of these names that a database has which no run has recorded."""
    return [row[0] for row in await fetch_all(conn, UNTRACKED, (list(names),))]


TRACK = """
INSERT INTO cutoverd.database_oids (run, role, oid, row) VALUES (%s, %s, %s, %s)
ON CONFLICT (run, role) DO UPDATE SET oid = excluded.oid, row = excluded.row
"""


async def track_database(conn: Connection, run: str, role: Role, row: DatabaseRow) -> None:
    await conn.execute(TRACK, (run, role, row.oid, Jsonb(row.model_dump())))


async def untrack_database(conn: Connection, run: str, role: Role) -> None:
    """The run has no database of that role any more."""
    await conn.execute("DELETE FROM cutoverd.database_oids WHERE run = %s AND role = %s", (run, role))


ANNOUNCE = "INSERT INTO cutoverd.announced (run, name, epoch) VALUES (%s, %s, %s) ON CONFLICT (run, name) DO NOTHING RETURNING 1"
MADE_ANEW = """
UPDATE cutoverd.announced a SET oid = NULL
 WHERE run = %s AND name = %s AND NOT EXISTS (SELECT FROM pg_database WHERE datname = a.name)
"""


async def announce_name(conn: Connection, attempt_id: AttemptId, name: str) -> bool:
    """The run is about to make a database of that name; False if it has said so before."""
    row = await fetch_one(conn, ANNOUNCE, (attempt_id.run, name, attempt_id.epoch))
    await conn.execute(MADE_ANEW, (attempt_id.run, name))
    return row is not None


MADE_IS = """
UPDATE cutoverd.announced a SET oid = d.oid FROM pg_database d WHERE a.run = %s AND a.name = %s AND d.datname = a.name
"""


async def made_announced(conn: Connection, attempt_id: AttemptId, name: str) -> None:
    """The database of that name is there, and ours is this one.

    Found: ours was dropped by hand, a colleague made another of its name, and that was dropped for ours.
    """
    await conn.execute(MADE_IS, (attempt_id.run, name))


async def withdraw_name(conn: Connection, attempt_id: AttemptId, name: str) -> None:
    """The database of that name is not ours, or no more."""
    await conn.execute("DELETE FROM cutoverd.announced WHERE run = %s AND name = %s", (attempt_id.run, name))


UNFINISHED = """
SELECT d.datname FROM cutoverd.announced a JOIN pg_database d ON d.datname = a.name AND d.oid = coalesce(a.oid, d.oid)
WHERE a.run = %(run)s AND d.oid NOT IN (SELECT oid FROM cutoverd.database_oids WHERE run = %(run)s)
ORDER BY a.epoch
"""


async def unfinished_databases(conn: Connection, run: str) -> list[str]:
    """Databases that an attempt of this run made, or began to make, without recording them."""
    return [row[0] for row in await fetch_all(conn, UNFINISHED, {"run": run})]


async def withdraw_gone(conn: Connection, run: str) -> None:
    """Names that the run has announced and that no database has any more: the next run may find them free."""
    query = (
        "DELETE FROM cutoverd.announced a WHERE run = %s AND NOT EXISTS"
        " (SELECT FROM pg_database d WHERE datname = a.name AND d.oid = coalesce(a.oid, d.oid))"
    )
    await conn.execute(query, (run,))


async def leftovers(conn: Connection, run: str, steps: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """A row for each database that the ledger knows of this run, production too, as leftovers.sql has it.

    `steps`: role → the step that made the database what it is.
    """
    return await fetch_all(conn, LEFTOVERS, {"run": run, "steps": json.dumps(steps)})


MADE = """
SELECT d.datname FROM pg_database d
WHERE (d.oid IN (SELECT oid FROM cutoverd.database_oids WHERE run = %(run)s)
       OR EXISTS (SELECT FROM cutoverd.announced a WHERE run = %(run)s AND name = d.datname AND d.oid = coalesce(a.oid, d.oid)))
  AND d.datname = ANY(%(names)s)
"""


async def made_by(conn: Connection, run: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that belong to databases which this run has made or begun to make."""
    rows = await conn.execute(MADE, {"run": run, "names": list(names)})
    return sorted(name for (name,) in await rows.fetchall())


NAMED = """
SELECT d.datname, {made_by} FROM pg_database d
WHERE (d.datname = ANY(%(names)s)
       OR (starts_with(d.datname, %(prefix)s) AND substr(d.datname, length(%(prefix)s) + 1) ~ '^[0-9]+$'))
  {not_ours}
ORDER BY 1
"""
TAKEN = NAMED.format(
    made_by="""(SELECT string_agg(DISTINCT run, ', ') FROM (
    SELECT run FROM cutoverd.database_oids o WHERE o.oid = d.oid
    UNION SELECT run FROM cutoverd.announced a WHERE a.name = d.datname AND d.oid = coalesce(a.oid, d.oid)) made)""",
    not_ours="""AND d.oid NOT IN (SELECT oid FROM cutoverd.database_oids WHERE run = ANY(%(runs)s))
  AND NOT EXISTS (SELECT FROM cutoverd.announced a
                   WHERE run = ANY(%(runs)s) AND name = d.datname AND d.oid = coalesce(a.oid, d.oid))""",
)
WITHOUT_LEDGER = NAMED.format(made_by="NULL::text", not_ours="")
HAS_LEDGER = "SELECT to_regclass('cutoverd.announced') IS NOT NULL"


async def taken_names(
    conn: Connection, names: Sequence[str], *, prefix: str, runs: Sequence[str]
) -> list[tuple[str, str | None]]:
    """Databases of these names, or of `prefix` and a number, that are none of `runs`; each with the run that made it."""
    has_ledger = await fetch_one(conn, HAS_LEDGER) == (True,)
    asked = {"names": list(names), "prefix": prefix, "runs": list(runs)}
    return await fetch_all(conn, (TAKEN if has_ledger else WITHOUT_LEDGER).encode(), asked)


IS_OURS = """
SELECT to_regclass('cutoverd.announced') IS NOT NULL AND pg_has_role(datdba, 'USAGE')
  FROM pg_database WHERE datname = current_database()
"""


async def is_our_ledger(conn: Connection) -> bool:
    """Whether the database that the session is in is a ledger, and its owner is one for whom we act."""
    return await fetch_one(conn, IS_OURS) == (True,)


OF_A_RUN = ("database_oids", "announced", "counters", "step_log")


async def forget_run(conn: Connection, run: str) -> None:
    """All rows of a run but its fence: for one that was only tried."""
    for table in OF_A_RUN:
        await conn.execute(sql.SQL("DELETE FROM cutoverd.{} WHERE run = %s").format(sql.Identifier(table)), (run,))

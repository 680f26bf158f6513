"""The copy that the window is rehearsed on, and what stands around it: made as it was restored, or dropped.

Its rows in the ledger go by a name of their own, `<run>/try`; its sessions carry the run's, so that they are found as orphans. In
all of it `copy` is its server: production's under the names of the copy, or that of a copy which the team has made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from cutoverd.daemon.postgres.backup import row_counts
from cutoverd.daemon.postgres.catalog import pg_database
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.catalog.identity import read_identity
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import forget_run, made_by, tracked_databases
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.session.sqlstates import is_certain
from cutoverd.states.errors import CheckFailed, StepError, Unfit
from cutoverd.states.ports import AttemptId, Direction, Evidence

BACK = ("exchange_back", "keep_new", "lift_fence")
SEE_WHAT = "see what changed it: the rollback, a file, or somebody beside the rehearsal"


async def reset(copy: Server, attempt_id: AttemptId, *, evict_seconds: float) -> list[str]:
    """The copy has its name again, whatever a rehearsal that ended half-way left, and stands alone; the names that were dropped.

    By the way back of the window, once more: its steps go by names of their own, so that no earlier one counts for done.
    """
    databases = PostgresDatabases(copy, evict_seconds=evict_seconds)
    for name in BACK:
        step = f"{attempt_id.step}.{attempt_id.event_id}.{name}"
        await getattr(databases, name)(replace(attempt_id, run=run_of(attempt_id), step=step, direction=Direction.BACK))
    return await drop_around(copy, attempt_id)


async def read_copy(copy: Server) -> dict[str, Any]:
    """{"database": hashes of its catalog row and of all that hangs on it, "catalog": hash of what is in it, "tables", "rows",
    "sha256": of the rows by table}.

    Hashes: what a database is set to may be a secret. Its grants, not how they are written: the way back spells a default out.
    """
    name = copy.names.production
    async with session(copy, name) as conn:
        row = await pg_database.read_row(conn, await pg_database.oid_of(conn, name) or 0)
        catalog, counts = await read_identity(conn), await row_counts.count_rows(conn)
    counted = {"tables": len(counts), "rows": sum(counts.values()), "sha256": row_counts.digest(counts)}
    parts = row.model_dump(mode="json", exclude={"acl"})
    return {"database": {key: row_counts.digest(value) for key, value in parts.items()}, "catalog": catalog, **counted}


async def check_copy(copy: Server, before: Mapping[str, Any]) -> Evidence:
    """{"tables", "rows"}; raises `CheckFailed` if the copy is not as `read_copy` found it `before`."""
    now = await read_copy(copy)
    differs = [f"its {key} is another" for key, was in before["database"].items() if now["database"].get(key) != was]
    if before["catalog"] != now["catalog"]:
        differs.append("its catalog is another")
    if before["sha256"] != now["sha256"]:
        differs.append(f"{before['tables']} tables had {before['rows']} rows, and {now['tables']} have {now['rows']}")
    if differs:
        says = f"after the rollback {copy.names.production} is not as it was: {'; '.join(differs)}"
        then = "rehearses anew" if copy.is_given else "takes another backup and rehearses on a new copy"
        raise CheckFailed(says, hint=f"{SEE_WHAT}, then `retry`, which {then}", evidence={"differs": differs})
    return {"tables": now["tables"], "rows": now["rows"]}


async def drop_all(copy: Server, attempt_id: AttemptId) -> list[str]:
    """What rehearsals of this run made, the copy that they were made with, and their rows in the ledger; the names.

    Raises `NotLeader` before anything is dropped: another daemon's rehearsal goes by the same names.
    """
    return await _drop(copy, attempt_id, [copy.names.production, *copy.names.made])


async def drop_around(copy: Server, attempt_id: AttemptId) -> list[str]:
    """The same, and the copy stays. Raises `StepError` unless it has its name: what is dropped is known by names."""
    async with session(copy) as conn:
        old = (await tracked_databases(conn, run_of(attempt_id))).get("old")
    if old and old.name not in (None, copy.names.production):
        raise StepError(f"the copy is called {old.name} still, and nothing around it is dropped", hint="`retry` tries it again")
    return await _drop(copy, attempt_id, list(copy.names.made))


async def _drop(copy: Server, attempt_id: AttemptId, names: list[str]) -> list[str]:
    async with session(copy) as conn, ledger.hold_fence(copy, attempt_id):
        found = await made_by(conn, run_of(attempt_id), names)
        await _drop_each(conn, found)
        async with ledger.fenced_transaction(conn, attempt_id):
            await forget_run(conn, run_of(attempt_id))
    return found


async def _drop_each(conn: Connection, names: Sequence[str]) -> None:
    """A drop makes a checkpoint, which fails on a full disk for as long as pages of another of them wait to be written.

    Found: the first drop failed, none was tried after it, and the room that all of them took was not given back.
    """
    kept = []
    for name in names:
        try:
            await drop_database(conn, name, force=True)
        except (psycopg.Error, Unfit) as error:
            if conn.closed or (isinstance(error, psycopg.Error) and not is_certain(error.sqlstate)):
                raise
            kept.append(name)
    for name in kept:
        await drop_database(conn, name, force=True)


def run_of(attempt_id: AttemptId) -> str:
    return f"{attempt_id.run}{ledger.TRIAL}"

"""The copy that the window is rehearsed on, and what stands around it: made as it was restored, or dropped.

Its rows in the ledger go by a name of their own, `<run>/try`; its sessions carry the run's, so that they are found as orphans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from cutoverd.daemon.postgres.backup import row_counts
from cutoverd.daemon.postgres.catalog import pg_database
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import forget_run, made_by
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.session.sqlstates import is_certain
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import AttemptId, Direction, Evidence

BACK = ("exchange_back", "keep_new", "lift_fence")


async def reset(server: Server, attempt_id: AttemptId, *, evict_seconds: float) -> list[str]:
    """The copy has its name again, whatever a rehearsal that ended half-way left, and stands alone; the names that were dropped.

    By the way back of the window, once more: its steps go by names of their own, so that no earlier one counts for done.
    """
    databases = PostgresDatabases(replace(server, on_trial=True), evict_seconds=evict_seconds)
    for name in BACK:
        step = f"{attempt_id.step}.{attempt_id.event_id}.{name}"
        await getattr(databases, name)(replace(attempt_id, run=_run(attempt_id), step=step, direction=Direction.BACK))
    return await _drop(server, attempt_id, [name for name in _names(server, attempt_id) if name != server.names.scratch])


async def read_copy(server: Server) -> dict[str, Any]:
    """{"database": hashes of its catalog row and of all that hangs on it, "tables", "rows", "sha256": of the rows by table}.

    Hashes: what a database is set to may be a secret.
    """
    name = server.names.scratch
    async with session(server, name) as conn:
        row = await pg_database.read_row(conn, await pg_database.oid_of(conn, name) or 0)
        counts = await row_counts.count_rows(conn)
    counted = {"tables": len(counts), "rows": sum(counts.values()), "sha256": row_counts.digest(counts)}
    return {"database": {key: row_counts.digest(value) for key, value in row.model_dump(mode="json").items()}, **counted}


async def check_copy(server: Server, before: Mapping[str, Any]) -> Evidence:
    """{"tables", "rows"}; raises `CheckFailed` if the copy is not as `read_copy` found it `before`."""
    now = await read_copy(server)
    differs = [f"its {key} is another" for key, was in before["database"].items() if now["database"].get(key) != was]
    if before["sha256"] != now["sha256"]:
        differs.append(f"{before['tables']} tables had {before['rows']} rows, and {now['tables']} have {now['rows']}")
    if differs:
        raise CheckFailed(
            f"after the rollback {server.names.scratch} is not as it was: {'; '.join(differs)}", evidence={"differs": differs}
        )
    return {"tables": now["tables"], "rows": now["rows"]}


async def drop_all(server: Server, attempt_id: AttemptId) -> list[str]:
    """What rehearsals of this run made, the copy that they were made with, and their rows in the ledger; the names.

    Raises `NotLeader` before anything is dropped: another daemon's rehearsal goes by the same names.
    """
    return await _drop(server, attempt_id, _names(server, attempt_id))


async def _drop(server: Server, attempt_id: AttemptId, names: list[str]) -> list[str]:
    async with session(server) as conn, ledger.hold_fence(server, attempt_id):
        found = await made_by(conn, _run(attempt_id), names)
        await _drop_each(conn, found)
        async with ledger.fenced_transaction(conn, attempt_id):
            await forget_run(conn, _run(attempt_id))
    return found


async def _drop_each(conn: Connection, names: Sequence[str]) -> None:
    """A drop makes a checkpoint, which fails on a full disk for as long as pages of another of them wait to be written.

    Found: the first drop failed, none was tried after it, and the room that all of them took was not given back.
    """
    kept = []
    for name in names:
        try:
            await drop_database(conn, name, force=True)
        except psycopg.Error as error:
            if conn.closed or not is_certain(error.sqlstate):
                raise
            kept.append(name)
    for name in kept:
        await drop_database(conn, name, force=True)


def _names(server: Server, attempt_id: AttemptId) -> list[str]:
    names = server.names.of_trial
    return [*names.all, names.build(attempt_id.epoch)]


def _run(attempt_id: AttemptId) -> str:
    return f"{attempt_id.run}{ledger.TRIAL}"

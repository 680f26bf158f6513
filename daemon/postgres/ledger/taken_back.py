"""The mark of a run whose production was taken back without its journal: no daemon drives that run any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError
from cutoverd.states.ports import AttemptId, Evidence

MARK = """
INSERT INTO cutoverd.taken_back AS mark (run, accepts_loss, reason, counted) VALUES (%s, %s, %s, %s)
ON CONFLICT (run) DO UPDATE
SET accepts_loss = mark.accepts_loss OR excluded.accepts_loss, reason = coalesce(nullif(mark.reason, ''), excluded.reason)
"""
FIND = "SELECT at, accepts_loss, reason, counted, finished FROM cutoverd.taken_back WHERE run = %s"
NEW_RUN = "give the plan a new `run`"
FINISH = "UPDATE cutoverd.taken_back SET finished = coalesce(finished, clock_timestamp()) WHERE run = %s"


class TakenBack(StepError):
    """production of this run was taken back without its journal"""

    finished = False  # the way back came to its end


@dataclass(frozen=True)
class Mark:
    """That it was decided, on what grounds, and whether it came to its end."""

    at: datetime
    accepts_loss: bool
    reason: str
    counted: dict[str, Any]  # as `Databases.count_writes` told it then
    finished: datetime | None


async def find_mark(conn: Connection, run: str) -> Mark | None:
    row = await fetch_one(conn, FIND, (run,))
    return Mark(*row) if row else None


async def mark_taken_back(conn: Connection, attempt_id: AttemptId, *, accepts_loss: bool, reason: str, counted: Evidence) -> None:
    """Before anything is undone; of a second call the first one's grounds stay."""
    async with ledger.fenced_transaction(conn, attempt_id):
        await conn.execute(MARK, (attempt_id.run, accepts_loss, reason, Jsonb(dict(counted))))


async def finish_mark(conn: Connection, attempt_id: AttemptId) -> None:
    async with ledger.fenced_transaction(conn, attempt_id):
        await conn.execute(FINISH, (attempt_id.run,))


async def check_not_taken_back(server: Server) -> None:
    """Raises `TakenBack` for a run that may not be driven any more."""
    async with session(server) as conn:
        mark = await find_mark(conn, server.run)
    if mark:
        raise _taken_back(server.run, mark)


def _taken_back(run: str, mark: Mark) -> TakenBack:
    begun = "was" if mark.finished else "is being"
    error = TakenBack(
        f"production of run {run} {begun} taken back without its journal ({mark.at:%Y-%m-%d %H:%M:%S %Z}):"
        " that journal does not go forward any more",
        hint=NEW_RUN if mark.finished else f"`cutoverd rollback --without-journal` finishes it; then {NEW_RUN}",
    )
    error.finished = mark.finished is not None
    return error


OTHERS = """
SELECT o.run, max(l.at) AS last FROM cutoverd.database_oids o LEFT JOIN cutoverd.step_log l ON l.run = o.run
WHERE o.run <> %(run)s AND o.role <> 'placeholder'
  AND o.oid IN (SELECT oid FROM cutoverd.database_oids WHERE run = %(run)s AND role <> 'placeholder')
GROUP BY o.run
HAVING coalesce(max(l.at), 'infinity') > (SELECT coalesce(max(at), '-infinity') FROM cutoverd.step_log WHERE run = %(run)s)
ORDER BY 2, 1
"""


async def later_runs(conn: Connection, run: str) -> list[str]:
    """Runs that have acted on a database of this one since: what the ledger knows of this one is no more how things are."""
    return [str(name) for name, _ in await fetch_all(conn, OTHERS, {"run": run})]

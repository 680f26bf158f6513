"""Getting everybody out of a database that refuses connections, and the proof that nobody is left: a rename.

A client in the middle of connecting is invisible to any poll; only a rename, which wants nobody there, closes the door
(docs/measured.md, "A fence that holds").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors

from cutoverd.daemon.postgres.catalog.inside import ENDS, INSIDE, read_inside
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection, primary_message
from cutoverd.states.errors import TimedOut
from cutoverd.states.ports import AttemptId, Evidence

PAUSE_SECONDS = 0.02

Work = Callable[[Connection], Awaitable[Evidence]]

# somebody is in, somebody holds a lock, our time-out struck, or a rival changed the same row: all of them pass
AGAIN = (errors.ObjectInUse, errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.InternalError_)

CONNECTING = """
SELECT pid FROM pg_locks
WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND objid = %s AND pid <> pg_backend_pid()
  AND pid NOT IN (SELECT pid FROM pg_stat_activity WHERE datid = objid)
"""
PREPARED = "SELECT gid, owner::text FROM pg_prepared_xacts x JOIN pg_database d ON d.datname = x.database WHERE d.oid = %s"


@dataclass
class Sessions:
    """Who was ended and who could not be."""

    ended: set[int] = field(default_factory=set)
    refused: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def evidence(self) -> dict[str, Any]:
        return {"sessions_ended": len(self.ended), "sessions_refused": list(self.refused.values())}


async def retry_until_empty(
    conn: Connection,
    attempt_id: AttemptId,
    oid: int,
    work: Work,
    *,
    evict_seconds: float,
    sessions: Sessions | None = None,
    also: int = 0,
) -> Evidence:
    """End sessions and try `work`, which renames the database, until it succeeds: one transaction with the step's record.

    The database must refuse connections already, and so must `also`, another one that `work` renames. Raises `TimedOut` that
    names who is still in after `evict_seconds`.
    """
    began, attempts = time.monotonic(), 0
    sessions = sessions or Sessions()
    while True:
        for each in {oid, also} - {0}:
            await end_sessions(conn, each, sessions)
        attempts += 1
        try:
            async with ledger.recorded_step(conn, attempt_id) as entry:
                # a rename waits five seconds for others, and `lock_timeout` does not bound that: docs/measured.md, "Renames"
                await conn.execute("SET LOCAL lock_timeout = '500ms'")
                await conn.execute("SET LOCAL statement_timeout = '1s'")
                took = {"attempts": attempts, "evict_seconds": round(time.monotonic() - began, 3)}
                entry.evidence = {**await work(conn), **sessions.evidence, **took}
        except AGAIN as error:
            if time.monotonic() - began > evict_seconds:
                full = also if also and await _is_in_use(conn, also) else oid
                raise await _still_in(conn, full, sessions, primary_message(error), evict_seconds) from error
        else:
            return entry.evidence
        await asyncio.sleep(PAUSE_SECONDS)


async def _is_in_use(conn: Connection, oid: int) -> bool:
    rows = [await fetch_all(conn, query, of) for query, of in ((INSIDE, (oid, 0)), (PREPARED, (oid,)))]
    return any(rows)


async def wait_until_alone(conn: Connection, oid: int, pid: int, *, evict_seconds: float) -> Sessions:
    """Only our session `pid`, and who could not be ended, is in a database that refuses connections, but for those connecting.

    Raises `TimedOut` that names who is still in after `evict_seconds`.
    """
    began, sessions = time.monotonic(), Sessions()
    while {row[0] for row in await fetch_all(conn, INSIDE, (oid, pid))} - sessions.refused.keys():
        if time.monotonic() - began > evict_seconds:
            raise await _still_in(conn, oid, sessions, "they do not end", evict_seconds, ours=pid)
        await end_sessions(conn, oid, sessions, ours=pid)
        await asyncio.sleep(PAUSE_SECONDS)
    return sessions


async def end_sessions(conn: Connection, oid: int, sessions: Sessions, *, ours: int = 0) -> None:
    """Each by its own call: one superuser among them would make a single statement over all stop there."""
    for pid, user, application, address, kind, state in await fetch_all(conn, INSIDE, (oid, ours)):
        try:
            await conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
            sessions.ended.add(pid)
        except errors.InsufficientPrivilege as error:
            who = {"pid": pid, "user": user, "application": application, "address": address, "kind": kind, "state": state}
            sessions.refused[pid] = {**who, "why": primary_message(error)}


async def _still_in(
    conn: Connection, oid: int, sessions: Sessions, last: str, evict_seconds: float, *, ours: int = 0
) -> TimedOut:
    inside = await read_inside(conn, oid, ours=ours)
    connecting = [f"{row[0]}, which is connecting" for row in await fetch_all(conn, CONNECTING, (oid,))]
    prepared = [f"prepared transaction {row[0]} of {row[1]}" for row in await fetch_all(conn, PREPARED, (oid,))]
    who = [*inside.values(), *connecting, *prepared]
    refused = [rows for pid, rows in sessions.refused.items() if pid in inside]
    name = await fetch_one(conn, "SELECT datname FROM pg_database WHERE oid = %s", (oid,))
    what = name[0] if name else "the database"
    return TimedOut(
        f"{what} is not empty after {evict_seconds:g} s: {'; '.join(who) or 'nobody is seen'}; last error: {last}",
        hint=f"{ENDS}; ROLLBACK PREPARED needs a database that accepts connections",
        evidence={"inside": who, "sessions_refused": refused, "prepared": prepared},
    )

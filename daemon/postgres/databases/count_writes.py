"""Before a failure turns the run: whether anybody wrote to new since it has production's name, of whom nobody knows.

What decides is who could write, not whether the traffic switch was used. Counters lag for as long as a session lives, so they
are read once nobody is in; what they cannot tell is never taken for "nothing".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.postgres.databases.admission import close, counted_inside, empty, give_access
from cutoverd.daemon.postgres.databases.outsiders import find_outsiders
from cutoverd.daemon.postgres.databases.writes import changed_since
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.counters import kept_counters
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, tracked_databases
from cutoverd.daemon.postgres.ledger.withheld import withheld_but_for
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import NotLeader, OutcomeUnknown, StepError
from cutoverd.states.ports import AttemptId, Evidence

SHOWN = 5
# of our own session, of any database, of any role: what is written there is counted nowhere
UNCOUNTED = """
SELECT 'track_counts is off' WHERE current_setting('track_counts') = 'off'
UNION ALL
SELECT 'track_counts is off for ' || coalesce('role ' || r.rolname, 'database ' || d.datname, 'all')
  FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
 WHERE EXISTS (SELECT FROM unnest(s.setconfig) c WHERE c ~* '^track_counts=(off|false|no|0|f|n|of)$')
"""


async def count_writes(
    server: Server,
    attempt_id: AttemptId,
    *,
    evict_seconds: float,
    shared: Sequence[str] = (),
    disposable: Mapping[str, str] | None = None,
) -> Evidence:
    """{"writes": "none" | "some" | "unknown", "reason", "tables"}; with "none" new stays closed to all.

    `shared`: roles by which others write, too; `disposable`: tables whose rows may go, and why.
    """
    async with session(server) as conn:
        known = await tracked_databases(conn, attempt_id.run)
        if "new" not in known or known["new"].name != server.names.production:
            return {"writes": "none", "reason": "the names did not change hands", "tables": {}}
        but_for = await withheld_but_for(conn, attempt_id.run)
        try:
            found = await _count(conn, server, attempt_id, known, but_for, shared, disposable or {}, evict_seconds)
        except (NotLeader, OutcomeUnknown):
            raise
        except (StepError, psycopg.DatabaseError, asyncio.CancelledError):  # `hold --now` must not leave production closed
            await run_to_completion(_give_access_back(server, attempt_id, known, but_for))
            raise
        if found["writes"] != "none":
            await _give_access_back(server, attempt_id, known, but_for)
        return found


async def _count(
    conn: Connection,
    server: Server,
    attempt_id: AttemptId,
    known: Mapping[str, TrackedDatabase],
    but_for: list[str] | None,
    shared: Sequence[str],
    disposable: Mapping[str, str],
    evict_seconds: float,
) -> Evidence:
    new, uncounted = known["new"], [str(row[0]) for row in await fetch_all(conn, UNCOUNTED)]
    before = (await kept_counters(conn, attempt_id.run)).get("exchanged")
    await close(conn, attempt_id, new)
    outsiders = [] if but_for is None else await find_outsiders(conn, attempt_id, new.oid, but_for, shared)
    await empty(conn, server, attempt_id, new, evict_seconds=evict_seconds)
    if but_for is not None and not outsiders:
        return {"writes": "none", "reason": f"nobody could connect but {', '.join([*but_for, 'us'])}", "tables": {}}
    if before is None:
        return {"writes": "unknown", "reason": "what was there at the exchange is not on record", "tables": {}}
    written = changed_since(before, await counted_inside(conn, server, attempt_id, new))
    judged = _judge(written, uncounted, disposable)
    return {**judged, **_by_whom(judged, outsiders)} if outsiders else judged


def _judge(written: Evidence, uncounted: Sequence[str], disposable: Mapping[str, str]) -> dict[str, Any]:
    tables = {name: counts for name, counts in written["written"].items() if name not in disposable}
    given_up = {name: disposable[name] for name in written["written"] if name in disposable}
    evidence = {"tables": tables, **({"disposable": given_up} if given_up else {})}
    if tables:
        return {"writes": "some", "reason": in_words(tables), **evidence}
    if uncounted or not written["complete"]:
        why = "; ".join(uncounted) or "the server's counters were reset"
        return {"writes": "unknown", "reason": why, **evidence}
    return {"writes": "none", "reason": "no row was written", **evidence}


def _by_whom(judged: Mapping[str, Any], outsiders: Sequence[str]) -> dict[str, Any]:
    others = f"by {', '.join(outsiders[:SHOWN])}{', …' if len(outsiders) > SHOWN else ''}, or by the smoke tests"
    return {"outsiders": [*outsiders], **({"reason": f"{judged['reason']}, {others}"} if judged["writes"] == "some" else {})}


def in_words(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """`public.t: 3 inserted, public.u: dropped`."""
    words = [
        f"{name}: " + ", ".join(kind if how is True else f"{how} {kind}" for kind, how in counts.items() if how)
        for name, counts in tables.items()
    ]
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more tables" if len(words) > SHOWN else "")


async def _give_access_back(
    server: Server, attempt_id: AttemptId, known: Mapping[str, TrackedDatabase], but_for: list[str] | None
) -> None:
    """In a session of its own: that of the count may have been in the middle of something.

    Raises `OutcomeUnknown` where that fails, whatever the reason: new is closed to all then, and only another count opens it.
    """
    try:
        async with session(server) as conn, ledger.fenced_transaction(conn, attempt_id):
            await give_access(conn, known["new"].oid, known, but_for)
    except (NotLeader, OutcomeUnknown):
        raise
    except StepError as error:  # what PostgreSQL says is one by now: `session`
        raise OutcomeUnknown(f"{server.names.production} may be closed to all still: {error}", hint=error.hint) from error

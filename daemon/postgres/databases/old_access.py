"""Old behind the fence: what was counted there, open to us alone, and closed again with nobody in it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from cutoverd.daemon.postgres.catalog import acl, pg_database
from cutoverd.daemon.postgres.databases import counters
from cutoverd.daemon.postgres.databases.counters import CounterSnapshot
from cutoverd.daemon.postgres.databases.eviction import retry_until_empty, wait_until_alone
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.counters import forget_counters, keep_counters, kept_counters
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, tracked_databases
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError
from cutoverd.states.ports import AttemptId, Evidence


async def record_position(server: Server, attempt_id: AttemptId) -> Evidence:
    """{"lsn", "counters", "sessions", "stats_reset", "server_stats_reset"} of fenced old, from the ledger database."""
    async with session(server) as conn:
        old = await fenced(conn, server, attempt_id)
        lsn = await fetch_one(conn, "SELECT pg_current_wal_lsn()::text")
        return {"lsn": lsn[0] if lsn else None, **await counters.of_database(conn, old.oid)}


async def open_old(server: Server, attempt_id: AttemptId, *, evict_seconds: float, again: bool = False) -> Evidence:
    """{"database", "tables": how many}; what was counted before anybody read it is kept for `check_unchanged`.

    It is kept as soon as it is known: a daemon that was killed half-way has read old, and is not taken for a writer. `again`:
    to be compared by content; until that is done no counter counts.
    """
    async with session(server) as conn:
        old = await fenced(conn, server, attempt_id)
        opened = (await kept_counters(conn, attempt_id.run)).get("opened", {})
        if not await _is_begun(conn, attempt_id, old):
            opened = await _open(conn, server, attempt_id, old, evict_seconds=evict_seconds, again=again)
        if "tables" not in opened:
            opened = {**opened, **await _first_counts(conn, server, old)}
        async with ledger.fenced_transaction(conn, attempt_id):
            await keep_counters(conn, attempt_id.run, "opened", opened)
        async with ledger.recorded_step(conn, attempt_id) as entry:
            entry.evidence = {"database": server.names.previous, "tables": len(opened["tables"])}
        return entry.evidence


async def _is_begun(conn: Connection, attempt_id: AttemptId, old: TrackedDatabase) -> bool:
    """By an attempt that was killed."""
    kept = await kept_counters(conn, attempt_id.run)
    return old.accepts_connections and "opened" in kept and "closed" not in kept


async def _open(
    conn: Connection, server: Server, attempt_id: AttemptId, old: TrackedDatabase, *, evict_seconds: float, again: bool
) -> dict[str, Any]:
    """What was counted while old was empty, so that nothing from before is counted late; in the same moment it is opened."""
    async with ledger.fenced_transaction(conn, attempt_id):
        await pg_database.accept_connections(conn, old.oid, False)
    work = partial(_open_empty, names=server.names, old=old, run=attempt_id.run, again=again)
    await retry_until_empty(
        conn, replace(attempt_id, step=f"{attempt_id.step}.empty"), old.oid, work, evict_seconds=evict_seconds
    )
    return (await kept_counters(conn, attempt_id.run))["opened"]


async def _open_empty(conn: Connection, *, names: Names, old: TrackedDatabase, run: str, again: bool) -> Evidence:
    await prove_empty(conn, names, old)
    await keep_counters(conn, run, "opened", {**await counters.of_database(conn, old.oid), "again": again})
    await forget_counters(conn, run, "closed")
    await acl.restrict(conn, old.oid)
    await pg_database.accept_connections(conn, old.oid, True)
    return {"database": names.previous}


async def prove_empty(conn: Connection, names: Names, old: TrackedDatabase) -> None:
    """A rename wants nobody in the database and nothing prepared there, and whoever left has told what he wrote."""
    await pg_database.rename(conn, old.oid, names.build(0))
    await pg_database.rename(conn, old.oid, names.previous)


async def _first_counts(conn: Connection, server: Server, old: TrackedDatabase) -> dict[str, Any]:
    """{"tables", "looked": what is counted once our own session is}."""
    async with session(server, server.names.previous) as inside:
        tables = await counters.tables(inside)
        await inside.execute("SELECT pg_stat_force_next_flush()")
        return {"tables": tables, "looked": await counters.of_database(conn, old.oid)}


async def close_old(server: Server, attempt_id: AttemptId, *, evict_seconds: float) -> Evidence:
    """Nobody is in old and nobody gets in; {"database", "sessions_ended", …}."""
    async with session(server) as conn:
        known = (await tracked_databases(conn, attempt_id.run)).get("old")
        if known is None or known.name != server.names.previous:
            return await ledger.replay_evidence(conn, attempt_id, {"nothing_to_close": True})
        kept = await kept_counters(conn, attempt_id.run)
        # an attempt that was killed half-way has closed it, and proven nothing
        if not known.accepts_connections and ("closed" in kept or "opened" not in kept):
            return await ledger.replay_evidence(conn, attempt_id, {"database": known.name})
        async with counters.session_inside(conn, server, attempt_id, known) as inside:
            async with ledger.fenced_transaction(conn, attempt_id):
                await pg_database.accept_connections(conn, known.oid, False)
            # alone before anything is counted: what moves afterwards, without another session, is autovacuum's
            sessions = await wait_until_alone(conn, known.oid, inside.info.backend_pid, evict_seconds=evict_seconds)
            closing = {"tables": await counters.tables(inside), **await counters.of_database(conn, known.oid)}
            closing["alone"] = not sessions.refused
        work = partial(_close_empty, names=server.names, old=known, run=attempt_id.run, closing=closing)
        return await retry_until_empty(conn, attempt_id, known.oid, work, evict_seconds=evict_seconds, sessions=sessions)


async def _close_empty(conn: Connection, *, names: Names, old: TrackedDatabase, run: str, closing: CounterSnapshot) -> Evidence:
    await prove_empty(conn, names, old)
    await keep_counters(conn, run, "closed", {"closing": closing, **await counters.of_database(conn, old.oid)})
    return {"database": names.previous}


async def fenced(conn: Connection, server: Server, attempt_id: AttemptId) -> TrackedDatabase:
    """Old, as this run keeps it; raises `StepError` unless it is fenced."""
    old = (await tracked_databases(conn, attempt_id.run)).get("old")
    if old is None or old.name != server.names.previous:
        raise StepError(f"there is no fenced {server.names.previous}", hint="the fence comes first")
    return old

"""Old between the fence and the exchange: open to us, closed again, and the proof that nobody wrote to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from cutoverd.daemon.postgres import acl, catalog, counters, ledger
from cutoverd.daemon.postgres.catalog import Known
from cutoverd.daemon.postgres.eviction import alone, emptied
from cutoverd.daemon.postgres.names import Names
from cutoverd.daemon.postgres.reach import Connection
from cutoverd.daemon.postgres.server import Server
from cutoverd.daemon.postgres.sessions import session
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, StepError
from cutoverd.states.ports import Evidence, Mark

Seen = Mapping[str, Any]


async def record_position(server: Server, mark: Mark) -> Evidence:
    """{"lsn", "counters", "sessions", "stats_reset", "server_stats_reset"} of fenced old, from the ledger database."""
    async with session(server) as conn:
        old = await _fenced(conn, server, mark)
        lsn = await (await conn.execute("SELECT pg_current_wal_lsn()::text")).fetchone()
        return {"lsn": lsn[0] if lsn else None, **await counters.of_database(conn, old.oid)}


async def open_old(server: Server, mark: Mark) -> Evidence:
    """{"database", "tables": how many}; what was counted before anybody read it is kept for `check_unchanged`."""
    async with session(server) as conn:
        old = await _fenced(conn, server, mark)
        before = await counters.of_database(conn, old.oid)
        async with ledger.allowed(conn, mark):
            await acl.restrict(conn, old.oid)
            await catalog.accept_connections(conn, old.oid, True)
        async with session(server, server.names.previous, settings=counters.CATALOG_ONLY) as inside:
            tables = await counters.tables(inside)
        async with ledger.step(conn, mark) as entry:
            await counters.keep(conn, mark.run, "opened", {**before, "tables": tables})
            await conn.execute("DELETE FROM cutoverd.counters WHERE run = %s AND moment = 'closed'", (mark.run,))
            entry.evidence = {"database": server.names.previous, "tables": len(tables)}
        return entry.evidence


async def close_old(server: Server, mark: Mark, *, evict_seconds: float) -> Evidence:
    """Nobody is in old and nobody gets in; {"database", "sessions_ended", …}."""
    async with session(server) as conn:
        known = (await catalog.known(conn, mark.run)).get("old")
        if known is None or known.name != server.names.previous:
            return await ledger.evidence_of(conn, mark, {"nothing_to_close": True})
        kept = await counters.kept(conn, mark.run)
        # an attempt that was killed half-way has closed it, and proven nothing
        if not known.accepts_connections and ("closed" in kept or "opened" not in kept):
            return await ledger.evidence_of(conn, mark, {"database": known.name})
        async with counters.looking_into(conn, server, mark, known) as inside:
            async with ledger.allowed(conn, mark):
                await catalog.accept_connections(conn, known.oid, False)
            # alone before anything is counted: what moves afterwards, without another session, is autovacuum's
            sessions = await alone(conn, known.oid, inside.info.backend_pid, evict_seconds=evict_seconds)
            closing = {"tables": await counters.tables(inside), **await counters.of_database(conn, known.oid)}
            closing["alone"] = not sessions.refused
        work = partial(_prove_empty, names=server.names, old=known, run=mark.run, closing=closing)
        return await emptied(conn, mark, known.oid, work, evict_seconds=evict_seconds, sessions=sessions)


async def _prove_empty(conn: Connection, *, names: Names, old: Known, run: str, closing: Seen) -> Evidence:
    """A rename wants nobody in the database, so there and back is a proof."""
    await catalog.rename(conn, old.oid, names.build(0))
    await catalog.rename(conn, old.oid, names.previous)
    await counters.keep(conn, run, "closed", {"closing": closing, **await counters.of_database(conn, old.oid)})
    return {"database": names.previous}


async def check_unchanged(server: Server, mark: Mark, position: Evidence) -> Evidence:
    """{"counters", "autovacuum": whether it moved them}; raises `CheckFailed`, or `OutcomeUnknown` if they were reset."""
    async with session(server) as conn:
        old = await _fenced(conn, server, mark)
        kept = await counters.kept(conn, mark.run)
        now = await counters.of_database(conn, old.oid)
        if old.accepts_connections:
            async with session(server, server.names.previous, settings=counters.CATALOG_ONLY) as inside:
                now["tables"] = await counters.tables(inside)
    for seen in (now, *(kept[moment] for moment in ("opened", "closed") if moment in kept)):
        _refuse_reset(position, seen)
    if moved := list(_moved(position, kept, now)):
        raise CheckFailed(
            f"{server.names.previous} was written to {' and '.join(moved)}",
            hint="look who can write there: a superuser, a background worker",
            evidence={"position": dict(position), "now": {key: now[key] for key in ("counters", "sessions")}},
        )
    return {"counters": now["counters"], "autovacuum": now["counters"] != position["counters"]}


def _refuse_reset(position: Seen, now: Seen) -> None:
    """A crash resets all counters, and they may have grown past where they were."""
    before, after = ({key: seen[key] for key in ("stats_reset", "server_stats_reset")} for seen in (position, now))
    if before != after:
        raise OutcomeUnknown(
            "the server's counters were reset since the fence, so they prove nothing",
            hint="the content of old and new has to be compared again",
            evidence={"before": before, "after": after},
        )


def _moved(position: Seen, kept: Mapping[str, Seen], now: Seen) -> Iterator[str]:
    """In which part of the time counters moved by more than autovacuum, which analyzes a fenced database too."""
    opened, closed = kept.get("opened"), kept.get("closed")
    if opened is None:
        if not _quiet(position, now):
            yield "since the fence"
        return
    if not _quiet(position, opened):
        yield "between the fence and its opening to us"
    last = closed["closing"] if closed else now
    touched = _touched(opened["tables"], last["tables"])
    if last["counters"] != opened["counters"] and touched:
        yield f"while it was open to us ({', '.join(touched)})"
    if closed and not _was_closed_quietly(closed["closing"], closed):
        yield "while it was being closed"
    if closed and not _quiet(closed, now):
        yield "after it was closed"


def _was_closed_quietly(closing: Seen, closed: Seen) -> bool:
    """With somebody in who could not be ended any movement may be his."""
    return bool(closing["counters"] == closed["counters"] or (closing["alone"] and _quiet(closing, closed)))


def _touched(before: Seen, after: Seen) -> list[str]:
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _quiet(before: Seen, after: Seen) -> bool:
    """Nothing was written, or no client was there to write it."""
    return bool(before["counters"] == after["counters"] or before["sessions"] == after["sessions"])


async def _fenced(conn: Connection, server: Server, mark: Mark) -> Known:
    old = (await catalog.known(conn, mark.run)).get("old")
    if old is None or old.name != server.names.previous:
        raise StepError(f"there is no fenced {server.names.previous}", hint="the fence comes first")
    return old

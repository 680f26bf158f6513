"""The exchange: new takes production's name; and the way back, which fences new first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from psycopg import sql

from cutoverd.daemon.postgres.catalog import acl, pg_database
from cutoverd.daemon.postgres.databases import counters, unchanged
from cutoverd.daemon.postgres.databases.admission import give_access
from cutoverd.daemon.postgres.databases.eviction import retry_until_empty
from cutoverd.daemon.postgres.databases.old_access import prove_empty
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.counters import keep_counters
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, tracked_databases
from cutoverd.daemon.postgres.ledger.withheld import withhold, withhold_no_more
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError, Unproven
from cutoverd.states.ports import AttemptId, Evidence


async def exchange(
    server: Server, attempt_id: AttemptId, *, evict_seconds: float, but_for: Sequence[str] | None = None
) -> Evidence:
    """{"database", "oid", "differs": […], "sessions_ended", …}; one transaction. CONNECT is withheld from all `but_for` these.

    Raises `StepError` unless old is fenced and new built; `CheckFailed` or `Unproven` by what was written to old meanwhile.
    """
    names = server.names
    async with session(server) as conn:
        known = await tracked_databases(conn, attempt_id.run)
        if not {"old", "new", "placeholder"} <= known.keys():
            raise StepError(f"run {attempt_id.run} has recorded only {sorted(known)}", hint="fence and clone come first")
        new = known["new"]
        if new.name == names.production:
            return await ledger.replay_evidence(conn, attempt_id)
        if new.name != names.next:
            raise StepError(f"the new database (oid {new.oid}) is called {new.name}, not {names.next}")
        await _refuse_written(conn, names, attempt_id, known)
        baseline = await _baseline(conn, server, attempt_id, new)
        await _close(conn, attempt_id, new)
        work = partial(_exchange, names=names, known=dict(known), run=attempt_id.run, baseline=baseline, but_for=but_for)
        return await retry_until_empty(conn, attempt_id, new.oid, work, evict_seconds=evict_seconds, also=known["old"].oid)


async def _refuse_written(conn: Connection, names: Names, attempt_id: AttemptId, known: Mapping[str, TrackedDatabase]) -> None:
    """Before anything is closed; what only the content can prove is compared in new, which an earlier attempt may have closed."""
    try:
        await unchanged.refuse_written(conn, names, attempt_id.run, known["old"])
    except Unproven:
        async with ledger.fenced_transaction(conn, attempt_id):
            await pg_database.accept_connections(conn, known["new"].oid, True)
        raise


async def _baseline(conn: Connection, server: Server, attempt_id: AttemptId, new: TrackedDatabase) -> Evidence:
    """The counters of every table of new before clients write to it."""
    async with counters.session_inside(conn, server, attempt_id, new) as inside:
        return {"tables": await counters.tables(inside), **await counters.of_database(conn, new.oid)}


async def _close(conn: Connection, attempt_id: AttemptId, new: TrackedDatabase) -> None:
    async with ledger.fenced_transaction(conn, attempt_id):
        await pg_database.accept_connections(conn, new.oid, False)


async def _exchange(
    conn: Connection,
    *,
    names: Names,
    known: dict[str, TrackedDatabase],
    run: str,
    baseline: Evidence,
    but_for: Sequence[str] | None,
) -> Evidence:
    old, new = known["old"].row, known["new"]
    await prove_empty(conn, names, known["old"])  # from here to the commit nobody gets in: what is counted now is all there is
    await unchanged.refuse_written(conn, names, run, known["old"])
    await pg_database.rename(conn, known["placeholder"].oid, names.closed)
    await pg_database.rename(conn, new.oid, names.production)
    differs = await give_access(conn, new.oid, known, but_for)
    if but_for is not None:
        await withhold(conn, run, but_for)
    await pg_database.alter(conn, names.production, sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(old.connection_limit)))
    await keep_counters(conn, run, "exchanged", baseline)
    return {"database": names.production, "oid": new.oid, "differs": differs}


async def exchange_back(server: Server, attempt_id: AttemptId, *, evict_seconds: float) -> Evidence:
    """New is `app_next` again, closed, and production's name is the placeholder's; fine if nothing was exchanged."""
    async with session(server) as conn:
        known = await tracked_databases(conn, attempt_id.run)
        new = known.get("new")
        if new is None or new.name is None:
            return await ledger.replay_evidence(conn, attempt_id, {"nothing_exchanged": True})
        await _close(conn, attempt_id, new)
        if new.name != server.names.production:
            return await ledger.replay_evidence(conn, attempt_id, {"nothing_exchanged": True, "left_over": [new.name]})
        work = partial(_exchange_back, names=server.names, new=new, placeholder=known["placeholder"], run=attempt_id.run)
        return await retry_until_empty(conn, attempt_id, new.oid, work, evict_seconds=evict_seconds)


async def _exchange_back(
    conn: Connection, *, names: Names, new: TrackedDatabase, placeholder: TrackedDatabase, run: str
) -> Evidence:
    await pg_database.rename(conn, new.oid, names.next)
    if placeholder.name is not None:
        await pg_database.rename(conn, placeholder.oid, names.production)
    await acl.restrict(conn, new.oid)
    await withhold_no_more(conn, run)
    return {"database": names.next, "oid": new.oid, "left_over": [names.next]}

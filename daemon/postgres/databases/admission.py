"""Who may connect to new: after the swap the roles of the smoke tests alone, then whoever could connect to production before.

Whoever may connect can write, through the traffic switch or past it: a cron job, a console, a worker of somebody's.
What clients behind a pooler see meanwhile: docs/measured.md, "A pooler whose roles may not connect".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from cutoverd.daemon.postgres.catalog import acl, pg_database
from cutoverd.daemon.postgres.databases import counters, logins
from cutoverd.daemon.postgres.databases.counters import CounterSnapshot
from cutoverd.daemon.postgres.databases.eviction import retry_until_empty
from cutoverd.daemon.postgres.databases.outsiders import find_outsiders
from cutoverd.daemon.postgres.databases.writes import changed_since
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.counters import keep_counters, kept_counters
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, tracked_databases
from cutoverd.daemon.postgres.ledger.withheld import withheld_but_for, withhold_no_more
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError
from cutoverd.states.ports import AttemptId, Evidence


async def admit_clients(server: Server, attempt_id: AttemptId, *, evict_seconds: float, shared: Sequence[str] = ()) -> Evidence:
    """{"written": tables that the smoke tests wrote, "complete", "differs", "roles", "warnings", "sessions_ended", …}.

    `shared`: roles by which others write, too. What outsiders may have written is theirs, and counts on. Fine if nothing was
    withheld: {"withheld": false}. Raises `CheckFailed` if somebody who could log in before could not.
    """
    async with session(server) as conn:
        if (but_for := await withheld_but_for(conn, attempt_id.run)) is None:
            return await ledger.replay_evidence(conn, attempt_id, {"withheld": False})
        known = await new_with_production_name(conn, server, attempt_id)
        before = (await kept_counters(conn, attempt_id.run))["exchanged"]
        await close(conn, attempt_id, known["new"])
        outsiders = await find_outsiders(conn, attempt_id, known["new"].oid, but_for, shared)
        evicted = await empty(conn, server, attempt_id, known["new"], evict_seconds=evict_seconds)
        now = await counted_inside(conn, server, attempt_id, known["new"])
        written = {**changed_since(before, now), "outsiders": outsiders, "sessions_ended": evicted["sessions_ended"]}
        async with ledger.recorded_step(conn, attempt_id) as entry:
            if not entry.already_done:
                entry.evidence = {**written, **await _admit(conn, attempt_id.run, known, before if outsiders else now)}
        return entry.evidence


async def _admit(conn: Connection, run: str, known: Mapping[str, TrackedDatabase], counted: CounterSnapshot) -> Evidence:
    """`counted`: what is written from there on is not the tests'."""
    old, oid = known["old"].row, known["new"].oid
    await withhold_no_more(conn, run)
    differs = await give_access(conn, oid, known, None)
    await keep_counters(conn, run, "exchanged", counted)
    return {"differs": differs, **await logins.prove_logins(conn, old, oid)}


async def new_with_production_name(conn: Connection, server: Server, attempt_id: AttemptId) -> Mapping[str, TrackedDatabase]:
    """The databases of the run; raises `StepError` before the swap."""
    known = await tracked_databases(conn, attempt_id.run)
    if not {"old", "new"} <= known.keys() or known["new"].name != server.names.production:
        raise StepError(f"{server.names.production} is not the new database yet", hint="the exchange comes first")
    return known


async def give_access(
    conn: Connection, oid: int, known: Mapping[str, TrackedDatabase], but_for: Sequence[str] | None
) -> list[str]:
    """As old gave it, but CONNECT to the roles `but_for` alone if there are any; connections are accepted.

    Gives what could not be given, in words.
    """
    differs = await acl.restore(conn, oid, known["old"].row)
    if but_for is not None:
        await acl.restrict(conn, oid, but_for=but_for)
    await pg_database.accept_connections(conn, oid, True)
    return differs


async def close(conn: Connection, attempt_id: AttemptId, new: TrackedDatabase) -> None:
    async with ledger.fenced_transaction(conn, attempt_id):
        await pg_database.accept_connections(conn, new.oid, False)


async def empty(
    conn: Connection, server: Server, attempt_id: AttemptId, new: TrackedDatabase, *, evict_seconds: float
) -> Evidence:
    """Nobody is in new, which is closed: only then have its counters been told everything."""
    emptying = replace(attempt_id, step=f"{attempt_id.step}.empty.{attempt_id.event_id}")
    work = partial(_prove_empty, names=server.names, oid=new.oid)
    return await retry_until_empty(conn, emptying, new.oid, work, evict_seconds=evict_seconds)


async def _prove_empty(conn: Connection, *, names: Names, oid: int) -> Evidence:
    await pg_database.rename(conn, oid, names.build(0))
    await pg_database.rename(conn, oid, names.production)
    return {"database": names.production}


async def counted_inside(conn: Connection, server: Server, attempt_id: AttemptId, new: TrackedDatabase) -> CounterSnapshot:
    """Every table's counters, of new that is closed and empty."""
    async with counters.session_inside(conn, server, attempt_id, replace(new, accepts_connections=False)) as inside:
        return {"tables": await counters.tables(inside), **await counters.of_database(conn, new.oid)}

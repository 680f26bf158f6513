"""The fence: production → previous, closed → production, and nobody is in old; and the way back of it."""

from __future__ import annotations

from functools import partial

import psycopg

from cutoverd.daemon.postgres.catalog import acl, pg_database, settings
from cutoverd.daemon.postgres.databases.eviction import retry_until_empty
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, track_database, tracked_databases
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import NotLeader, OutcomeUnknown, StepError, Unfit
from cutoverd.states.ports import AttemptId, Evidence


async def fence(server: Server, attempt_id: AttemptId, *, evict_seconds: float) -> Evidence:
    """{"database", "oid", "sessions_ended", "sessions_refused", "attempts", "evict_seconds"}.

    Raises `TimedOut` that names who did not leave; production accepts connections again then.
    """
    async with session(server) as conn:
        known = await _close_production(conn, server, attempt_id)
        old, placeholder = known["old"], known["placeholder"]
        if old.name == server.names.previous:
            evidence = await ledger.replay_evidence(conn, attempt_id)
        else:
            work = partial(_fence_off, names=server.names, old=old, placeholder=placeholder)
            try:
                evidence = await retry_until_empty(conn, attempt_id, old.oid, work, evict_seconds=evict_seconds)
            except (OutcomeUnknown, NotLeader):
                raise
            except (StepError, psycopg.DatabaseError):
                await _reopen_production(conn, attempt_id, old)
                raise
        # else a crash replays old's last writes, and its sequences jump
        await conn.execute("CHECKPOINT")
        return evidence


async def _close_production(conn: Connection, server: Server, attempt_id: AttemptId) -> dict[str, TrackedDatabase]:
    """Production refuses connections from here on; its row is recorded first, as it was."""
    async with ledger.fenced_transaction(conn, attempt_id):
        known = dict(await tracked_databases(conn, attempt_id.run))
        if "placeholder" not in known or known["placeholder"].name is None:
            raise Unfit("the placeholder is missing", hint="it is made in PreCheck; `abort` and start a new run")
        if "old" not in known:
            known["old"] = await _record_old(conn, server, attempt_id)
        old = known["old"]
        if old.name not in (server.names.production, server.names.previous):
            raise StepError(f"the old database (oid {old.oid}) is called {old.name}, not {server.names.production}")
        await pg_database.accept_connections(conn, old.oid, False)
    return known


async def _record_old(conn: Connection, server: Server, attempt_id: AttemptId) -> TrackedDatabase:
    oid = await pg_database.oid_of(conn, server.names.production)
    if oid is None:
        raise StepError(f"there is no database {server.names.production}")
    row = await pg_database.read_row(conn, oid)
    await track_database(conn, attempt_id.run, "old", row)
    return TrackedDatabase(oid, row.name, row.accepts_connections, row)


async def _fence_off(conn: Connection, *, names: Names, old: TrackedDatabase, placeholder: TrackedDatabase) -> Evidence:
    await pg_database.rename(conn, old.oid, names.previous)
    await pg_database.rename(conn, placeholder.oid, names.production)
    await acl.restrict(conn, old.oid)
    await settings.set_read_only(conn, names.previous)
    return {"database": names.previous, "oid": old.oid}


async def _reopen_production(conn: Connection, attempt_id: AttemptId, old: TrackedDatabase) -> None:
    async with ledger.fenced_transaction(conn, attempt_id):
        await pg_database.accept_connections(conn, old.oid, old.row.accepts_connections)


async def lift_fence(server: Server, attempt_id: AttemptId, *, evict_seconds: float) -> Evidence:
    """Old has production's name and all that it had with it; {"database", "oid", "differs": […]}.

    Raises `StepError` while new has production's name.
    """
    async with session(server) as conn:
        known = await tracked_databases(conn, attempt_id.run)
        old = known.get("old")
        if old is None:
            return await ledger.replay_evidence(conn, attempt_id, {"nothing_to_lift": True})
        if "new" in known and known["new"].name == server.names.production:
            raise StepError(f"{server.names.production} is the new database still", hint="exchange the names back first")
        if old.name == server.names.production:
            await _reopen_production(conn, attempt_id, old)
            return await ledger.replay_evidence(conn, attempt_id, {"database": old.name, "oid": old.oid, "differs": []})
        async with ledger.fenced_transaction(conn, attempt_id):
            await pg_database.accept_connections(conn, old.oid, False)
        work = partial(_give_back, names=server.names, old=old, placeholder=known["placeholder"])
        return await retry_until_empty(conn, attempt_id, old.oid, work, evict_seconds=evict_seconds)


async def _give_back(conn: Connection, *, names: Names, old: TrackedDatabase, placeholder: TrackedDatabase) -> Evidence:
    if placeholder.name is not None:
        await pg_database.rename(conn, placeholder.oid, names.closed)
    await pg_database.rename(conn, old.oid, names.production)
    differs = await acl.restore(conn, old.oid, old.row)
    await settings.reset_read_only(conn, names.production, old.row)
    await pg_database.accept_connections(conn, old.oid, old.row.accepts_connections)
    return {"database": names.production, "oid": old.oid, "differs": differs}

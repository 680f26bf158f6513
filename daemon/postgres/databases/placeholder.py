"""The placeholder `app_closed`: empty, refuses connections, and holds production's name while neither old nor new does."""

from __future__ import annotations

from psycopg import sql

from cutoverd.daemon.postgres.catalog import create_database, pg_database
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import (
    track_database,
    tracked_databases,
    unfinished_databases,
    untrack_database,
    withdraw_name,
)
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError, Unfit
from cutoverd.states.ports import AttemptId, Evidence

# WAL_LOG: seven megabytes are not worth the two checkpoints of FILE_COPY, in PreCheck, under production's load
CREATE = "CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log ALLOW_CONNECTIONS false CONNECTION LIMIT 0"


async def make_placeholder(server: Server, attempt_id: AttemptId) -> Evidence:
    """Make it, or take the one that an earlier attempt of this run made; {"database", "oid"}.

    Raises `Unfit` if somebody else's has its name, or if it accepts connections.
    """
    name = server.names.closed
    async with session(server) as conn:
        known = (await tracked_databases(conn, attempt_id.run)).get("placeholder")
        if known and known.name:
            return await ledger.replay_evidence(conn, attempt_id, {"database": known.name, "oid": known.oid})
        async with ledger.hold_fence(server, attempt_id):
            await create_database.create(conn, attempt_id, name, sql.SQL(CREATE).format(sql.Identifier(name)))
        async with ledger.recorded_step(conn, attempt_id) as entry:
            row = await pg_database.read_row(conn, await pg_database.oid_of(conn, name) or 0)
            if row.accepts_connections:
                raise Unfit(f"{name} accepts connections, so it is no placeholder", hint="look who opened it, and drop it")
            await track_database(conn, attempt_id.run, "placeholder", row)
            entry.evidence = {"database": name, "oid": row.oid}
        return entry.evidence


async def drop_placeholder(server: Server, attempt_id: AttemptId) -> Evidence:
    """Drop it, only while it has its own name and refuses connections; one that is not there is fine. {"dropped": [name]}."""
    async with session(server) as conn, ledger.hold_fence(server, attempt_id):
        name = await _to_drop(conn, server, attempt_id)
        if name:
            await drop_database(conn, name, bounded=False)
        async with ledger.recorded_step(conn, attempt_id) as entry:
            await withdraw_name(conn, attempt_id, server.names.closed)
            await untrack_database(conn, attempt_id.run, "placeholder")
            entry.evidence = {"dropped": [name] if name else []}
        return entry.evidence


async def _to_drop(conn: Connection, server: Server, attempt_id: AttemptId) -> str | None:
    """Its name, if it is there; one that was made but not recorded yet is known by the name it was announced with."""
    known = (await tracked_databases(conn, attempt_id.run)).get("placeholder")
    if known is None:
        return server.names.closed if server.names.closed in await unfinished_databases(conn, attempt_id.run) else None
    if known.name == server.names.production or known.accepts_connections:
        raise StepError(f"the placeholder is called {known.name} now and is in use", hint="`rollback` gives the names back first")
    return known.name

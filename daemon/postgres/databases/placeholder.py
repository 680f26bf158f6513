"""The placeholder `app_closed`: empty, refuses connections, and holds production's name while neither old nor new does."""

from __future__ import annotations

from psycopg import sql

from cutoverd.daemon.postgres.catalog import create_database, pg_database
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError, Unfit
from cutoverd.states.ports import Evidence, Mark

# WAL_LOG: seven megabytes are not worth the two checkpoints of FILE_COPY, in PreCheck, under production's load
CREATE = "CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log ALLOW_CONNECTIONS false CONNECTION LIMIT 0"


async def make_placeholder(server: Server, mark: Mark) -> Evidence:
    """Make it, or take the one that an earlier attempt of this run made; {"database", "oid"}."""
    name = server.names.closed
    async with session(server) as conn:
        known = (await pg_database.known(conn, mark.run)).get("placeholder")
        if known and known.name:
            return await ledger.evidence_of(conn, mark, {"database": known.name, "oid": known.oid})
        async with ledger.held(server, mark):
            await create_database.create(conn, mark, name, sql.SQL(CREATE).format(sql.Identifier(name)))
        async with ledger.step(conn, mark) as entry:
            row = await pg_database.read_row(conn, await pg_database.oid_of(conn, name) or 0)
            if row.accepts_connections:
                raise Unfit(f"{name} accepts connections, so it is no placeholder", hint="look who opened it, and drop it")
            await pg_database.record(conn, mark.run, "placeholder", row)
            entry.evidence = {"database": name, "oid": row.oid}
        return entry.evidence


async def drop_placeholder(server: Server, mark: Mark) -> Evidence:
    """Drop it, only while it has its own name and refuses connections; one that is not there is fine. {"dropped": [name]}."""
    async with session(server) as conn, ledger.held(server, mark):
        name = await _to_drop(conn, server, mark)
        if name:
            await drop_database(conn, name, bounded=False)
        async with ledger.step(conn, mark) as entry:
            await create_database.withdraw(conn, mark, server.names.closed)
            await conn.execute("DELETE FROM cutoverd.database_oids WHERE run = %s AND role = 'placeholder'", (mark.run,))
            entry.evidence = {"dropped": [name] if name else []}
        return entry.evidence


async def _to_drop(conn: Connection, server: Server, mark: Mark) -> str | None:
    """Its name, if it is there; one that was made but not recorded yet is known by the name it was announced with."""
    known = (await pg_database.known(conn, mark.run)).get("placeholder")
    if known is None:
        return server.names.closed if server.names.closed in await create_database.unfinished(conn, mark.run) else None
    if known.name == server.names.production or known.accepts_connections:
        raise StepError(f"the placeholder is called {known.name} now and is in use", hint="`rollback` gives the names back first")
    return known.name

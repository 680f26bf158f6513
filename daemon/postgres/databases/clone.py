"""New: a file copy of fenced old under a build name, given back all that a copy loses, then named `app_next` and recorded."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from psycopg import sql

from cutoverd.daemon.postgres.catalog import acl, create_database, pg_database, settings
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.databases.eviction import Sessions, end_sessions, retry_until_empty
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, track_database, tracked_databases, unfinished_databases
from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError, TimedOut
from cutoverd.states.ports import AttemptId, Evidence

# WAL_LOG writes the whole database into the WAL, and a full disk leaves the server broken: docs/measured.md, "Cloning by files"
CLONE = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy OWNER {} ALLOW_CONNECTIONS false"


async def build_new(server: Server, attempt_id: AttemptId, *, evict_seconds: float, clone_seconds: float) -> Evidence:
    """{"database", "oid", "bytes", "clone_seconds", "not_carried": statements that only a superuser may give}.

    Raises `StepError` if production is not fenced.
    """
    names = server.names
    async with session(server) as conn:
        known = await tracked_databases(conn, attempt_id.run)
        if "new" in known and known["new"].name in (names.next, names.production):
            return await ledger.replay_evidence(conn, attempt_id)
        old = known.get("old")
        if old is None or old.name != names.previous:
            raise StepError(f"there is no fenced {names.previous} to clone", hint="the fence comes first")
        async with ledger.hold_fence(server, attempt_id):
            await _drop_unfinished(conn, server, attempt_id)
            evidence = await _clone(conn, server, attempt_id, old, clone_seconds)
            oid = await pg_database.oid_of(conn, names.build(attempt_id.epoch)) or 0
            evidence["not_carried"] = await _furnish(conn, attempt_id, oid, old)
            await _bring_ledger(server, attempt_id, old)
            await _close(conn, attempt_id, oid)
            work = partial(_name_next, names=names, run=attempt_id.run, oid=oid, evidence=evidence)
            return await retry_until_empty(conn, attempt_id, oid, work, evict_seconds=evict_seconds)


async def _drop_unfinished(conn: Connection, server: Server, attempt_id: AttemptId) -> None:
    """What a crashed build of this run left; an invalid database too."""
    for name in await unfinished_builds(conn, server, attempt_id.run):
        await drop_database(conn, name, force=True, bounded=False)


async def unfinished_builds(conn: Connection, server: Server, run: str) -> list[str]:
    prefix = server.names.build_prefix
    return [name for name in await unfinished_databases(conn, run) if name.startswith(prefix)]


async def _clone(
    conn: Connection, server: Server, attempt_id: AttemptId, old: TrackedDatabase, clone_seconds: float
) -> dict[str, object]:
    build, began, pid = server.names.build(attempt_id.epoch), time.monotonic(), conn.info.backend_pid
    clone = sql.SQL(CLONE).format(*map(sql.Identifier, (build, server.names.previous, old.row.owner)))
    try:
        async with asyncio.timeout(clone_seconds):
            await create_database.create(conn, attempt_id, build, clone)
    except TimeoutError as error:
        await end_backends(server, pids=[pid])
        raise TimedOut(f"{build} was not cloned from {server.names.previous} within {clone_seconds:g} s") from error
    size = await fetch_one(conn, "SELECT pg_database_size(%s)", (build,))
    return {"bytes": size[0] if size else None, "clone_seconds": round(time.monotonic() - began, 3)}


async def _furnish(conn: Connection, attempt_id: AttemptId, oid: int, old: TrackedDatabase) -> list[str]:
    """Ours alone until the exchange; with production's comment and settings; then open to us. Gives what we may not set."""
    async with ledger.fenced_transaction(conn, attempt_id):
        build = (await pg_database.read_row(conn, oid)).name
        await acl.restrict(conn, oid)
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(build), sql.Literal(old.row.comment))
        await conn.execute(comment)
        refused = await settings.carry(conn, build, old.row)
        await pg_database.accept_connections(conn, oid, True)
    return refused


async def _bring_ledger(server: Server, attempt_id: AttemptId, old: TrackedDatabase) -> None:
    """The fence and step_log of the scripts that will run there, as the owner, so that the owner can write them."""
    owner = {"role": old.row.owner}  # of_plan: their event triggers run here
    async with session(server, server.names.build(attempt_id.epoch), settings=owner, of_plan=True) as conn, conn.transaction():
        await conn.execute(ledger.STEP_TABLES.read_bytes())
        await conn.execute(ledger.RAISE, {"run": attempt_id.run, "epoch": attempt_id.epoch})


async def _close(conn: Connection, attempt_id: AttemptId, oid: int) -> None:
    async with ledger.fenced_transaction(conn, attempt_id):
        await pg_database.accept_connections(conn, oid, False)


async def _name_next(conn: Connection, *, names: Names, run: str, oid: int, evidence: dict[str, object]) -> Evidence:
    await pg_database.rename(conn, oid, names.next)
    await pg_database.accept_connections(conn, oid, True)
    await track_database(conn, run, "new", await pg_database.read_row(conn, oid))
    return {"database": names.next, "oid": oid, **evidence}


async def keep_new(server: Server, attempt_id: AttemptId) -> Evidence:
    """New stays, closed; {"left_over": [names], "sessions_refused": […]}. Nothing is dropped on the way back: DROP can hang.

    Raises `StepError` while new has production's name.
    """
    async with session(server) as conn:
        new, sessions = (await tracked_databases(conn, attempt_id.run)).get("new"), Sessions()
        if new and new.name == server.names.production:
            raise StepError(f"{new.name} is the new database still", hint="exchange the names back first")
        if new and new.name:
            await _close(conn, attempt_id, new.oid)
            await end_sessions(conn, new.oid, sessions)
        left = [new.name] if new and new.name else []
        left += await unfinished_builds(conn, server, attempt_id.run)
        return await ledger.replay_evidence(conn, attempt_id, {"left_over": left, **sessions.evidence})

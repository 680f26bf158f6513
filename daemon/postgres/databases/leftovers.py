"""What an ended run left on the server: found by oid, and dropped one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from psycopg import errors

from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.ledger import databases, ledger
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.names import LEDGER, Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.downtime import Downtime
from cutoverd.states.errors import StepError
from cutoverd.states.leftovers import LeftoverDatabase
from cutoverd.states.ports import AttemptId
from cutoverd.states.precheck import PreCheck
from cutoverd.states.schema import Schema

STEPS = {"old": str(Downtime.fence_old), "new": str(Schema.build_new), "placeholder": str(PreCheck.make_placeholder)}
OID = "SELECT oid::bigint FROM pg_database WHERE datname = %s"


async def find(server: Server) -> tuple[LeftoverDatabase, ...]:
    """All that the ledger knows of this run's databases, production too."""
    async with session(server) as conn:
        rows = await databases.leftovers(conn, server.run, STEPS)
        return tuple(_database(row, server.names, conn) for row in rows)


async def strangers(server: Server, known: tuple[LeftoverDatabase, ...]) -> list[str]:
    """Names that the run has used and that another database has now."""
    wanted = [server.names.previous, server.names.next, server.names.closed, server.names.scratch]
    query = "SELECT datname, oid::bigint FROM pg_database WHERE datname = ANY(%s) AND oid <> ALL(%s) ORDER BY 1"
    async with session(server) as conn:
        rows = await fetch_all(conn, query, (wanted, [each.oid for each in known]))
    return [f"{name} (oid {oid}) is not of run {server.run}" for name, oid in rows]


def _database(row: tuple[Any, ...], names: Names, conn: Connection) -> LeftoverDatabase:
    role, oid, name, announced, size, since, sessions, may_drop, owner, is_as_made = row
    given = {"old": names.previous, "new": names.next, "placeholder": names.closed}
    lacks = f"role {conn.info.user} may not act for {owner}, who owns it: GRANT {owner} TO {conn.info.user}"
    return LeftoverDatabase(
        role,
        oid,
        name,
        given_name=announced or given[role],
        bytes=size,
        since=since,
        sessions=tuple(sessions or ()),
        lacks=lacks if name is not None and not may_drop else "",
        is_as_made=bool(is_as_made) if announced else True,
    )


async def holds_ledger(server: Server, database: str) -> bool:
    """Whether the records that the scripts of a run wrote with their own transactions are in it."""
    async with session(replace(server, reach_seconds=0), database) as conn:  # asked once: it is only told
        row = await fetch_one(conn, "SELECT to_regnamespace(%s) IS NOT NULL", (LEDGER,))
    return bool(row and row[0])


async def drop(server: Server, attempt_id: AttemptId, database: LeftoverDatabase) -> None:
    """Drop it by its name once that is seen to be its oid's; fine if it is gone. Raises `StepError` if somebody is in it."""
    async with session(server) as conn, ledger.hold_fence(server, attempt_id):
        name = database.given_name
        row = await fetch_one(conn, OID, (name,))
        if row and (row[0] != database.oid or name == server.names.production):
            raise StepError(f"{name} is not oid {database.oid} any more", hint="run it again: it looks afresh")
        try:
            if row:
                await drop_database(conn, name)
        except errors.ObjectInUse as error:
            raise StepError(f"{name} is in use: {error.diag.message_detail}", hint="end that, then run it again") from error
        await databases.withdraw_name(conn, attempt_id, name)


async def forget_names(server: Server, attempt_id: AttemptId) -> None:
    """Names that the run has announced and that no database has any more: the next run may find them free."""
    async with session(server) as conn, ledger.fenced_transaction(conn, attempt_id):
        await databases.withdraw_gone(conn, server.run)

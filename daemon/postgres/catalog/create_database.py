"""CREATE DATABASE can be in no transaction: its name is claimed in the ledger first, so that a later daemon knows it as ours."""

from __future__ import annotations

from psycopg import errors, sql

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import announce_name, made_announced, made_by, withdraw_name
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import AttemptId


async def create(conn: Connection, attempt_id: AttemptId, name: str, statement: sql.Composed) -> None:
    """Claim the name and make the database, unless this run made it already; hold the fence meanwhile.

    Raises `Unfit` if a database that is not ours has that name.
    """
    if not await _announce(conn, attempt_id, name):
        return
    try:
        await conn.execute(statement)
    except errors.DuplicateDatabase as error:
        await withdraw_name(conn, attempt_id, name)
        raise _taken(attempt_id, name) from error
    await made_announced(conn, attempt_id, name)


async def _announce(conn: Connection, attempt_id: AttemptId, name: str) -> bool:
    """Whether the database is still to be made."""
    async with ledger.fenced_transaction(conn, attempt_id):
        exists = await fetch_one(conn, "SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        is_new = await announce_name(conn, attempt_id, name)
        if exists and (is_new or name not in await made_by(conn, attempt_id.run, [name])):
            raise _taken(attempt_id, name)
    return not exists


def _taken(attempt_id: AttemptId, name: str) -> Unfit:
    return Unfit(f"there is a database {name} already, and run {attempt_id.run} did not make it", hint="rename it or drop it")

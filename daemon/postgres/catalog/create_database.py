"""CREATE DATABASE can be in no transaction: its name is claimed in the ledger first, so that a later daemon knows it as ours."""

from __future__ import annotations

from psycopg import errors, sql

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import AttemptId

ANNOUNCE = "INSERT INTO cutoverd.announced (run, name, epoch) VALUES (%s, %s, %s) ON CONFLICT (run, name) DO NOTHING RETURNING 1"


async def create(conn: Connection, attempt_id: AttemptId, name: str, statement: sql.Composed) -> None:
    """Claim the name and make the database, unless this run made it already; hold the fence meanwhile.

    Raises `Unfit` if a database that is not ours has that name.
    """
    if not await _announce(conn, attempt_id, name):
        return
    try:
        await conn.execute(statement)
    except errors.DuplicateDatabase as error:
        await withdraw(conn, attempt_id, name)
        raise _taken(attempt_id, name) from error


async def _announce(conn: Connection, attempt_id: AttemptId, name: str) -> bool:
    """Whether the database is still to be made."""
    async with ledger.fenced_transaction(conn, attempt_id):
        exists = await (await conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))).fetchone()
        is_new = await (await conn.execute(ANNOUNCE, (attempt_id.run, name, attempt_id.epoch))).fetchone()
        if exists and is_new:
            raise _taken(attempt_id, name)
    return not exists


def _taken(attempt_id: AttemptId, name: str) -> Unfit:
    return Unfit(f"there is a database {name} already, and run {attempt_id.run} did not make it", hint="rename it or drop it")


async def withdraw(conn: Connection, attempt_id: AttemptId, name: str) -> None:
    """The database of that name is not ours, or no more."""
    await conn.execute("DELETE FROM cutoverd.announced WHERE run = %s AND name = %s", (attempt_id.run, name))


UNFINISHED = """
SELECT d.datname FROM cutoverd.announced a JOIN pg_database d ON d.datname = a.name
WHERE a.run = %(run)s AND d.oid NOT IN (SELECT oid FROM cutoverd.database_oids WHERE run = %(run)s)
ORDER BY a.epoch
"""


async def unfinished(conn: Connection, run: str) -> list[str]:
    """Databases that an attempt of this run made, or began to make, without recording them."""
    return [row[0] for row in await (await conn.execute(UNFINISHED, {"run": run})).fetchall()]

"""Opening a session that has what it pins from its first moment on, and still has it after a login trigger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.string import TextLoader

from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.connect import Connection, connect
from cutoverd.daemon.postgres.session.of_owner import settings_of_owner

TRIES = 20
# in any style that the database has set; psycopg reads ISO alone
DATES = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")


async def connect_pinned(conninfo: str, settings: Mapping[str, str], *, as_owner_of: Sequence[str] = ()) -> Connection:
    """A session in autocommit; with `as_owner_of`, what the owner of the first of them has set as well. Raises psycopg.Error.

    A time-out that this version alone knows may strike before it is lifted: then it is lifted from the start, once.
    """
    conn = await connect(make_conninfo(conninfo, options=pins.at_start(settings)))
    known = pins.since(conn.info.server_version)
    try:
        await _unhurried(conn)
        await pin(conn, {**known, **settings})
        if as_owner_of:
            await _be_of_plan(conn, as_owner_of, settings)
    except BaseException as error:
        was_ended = isinstance(error, psycopg.Error) and conn.closed
        await conn.close()
        if not was_ended or known.keys() <= settings.keys():
            raise
        return await connect_pinned(conninfo, {**known, **settings}, as_owner_of=as_owner_of)
    return conn


async def _unhurried(conn: Connection) -> None:
    """A login trigger may leave a time-out so short that it strikes whatever lifts it: that is said again."""
    for tries_left in reversed(range(TRIES)):
        try:
            await conn.execute("SET statement_timeout = 0")
            return
        except psycopg.errors.QueryCanceled:
            if not tries_left:
                raise


async def _be_of_plan(conn: Connection, databases: Sequence[str], settings: Mapping[str, str]) -> None:
    for name in DATES:
        conn.adapters.register_loader(name, TextLoader)
    of_owner = await settings_of_owner(conn, databases)
    given = {name.lower() for name in settings}
    await pin(conn, {name: value for name, value in of_owner.items() if name.lower() not in given})


async def pin(conn: Connection, settings: Mapping[str, str]) -> None:
    """What its version alone knows is not added here."""
    if settings:
        query, values = pins.afterwards(settings)
        await conn.execute(query, values)

"""DROP DATABASE waits until every process of the server has heard of it (docs/measured.md, "Cloning by files")."""

from __future__ import annotations

from psycopg import errors, sql

from cutoverd.daemon.postgres.catalog.inside import ENDS, read_inside
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import Unfit

# A process whose client hangs in its login hears nothing, and is ended after `authentication_timeout`: be more patient than that.
PATIENT = """
SELECT set_config('statement_timeout',
                  ((extract(epoch FROM current_setting('authentication_timeout')::interval) + 60) * 1000)::bigint::text, false)
"""


async def drop_database(conn: Connection, name: str, *, force: bool = False, bounded: bool = True) -> None:
    """Drop it; with `force` whoever is in it is ended, without it that raises `errors.ObjectInUse`.

    `bounded`: for what no time-out of a step ends. Raises `Unfit` that names whom our role may not end.
    """
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)" if force else "DROP DATABASE {}")
    if bounded:
        await conn.execute(PATIENT)
    try:
        await conn.execute(drop.format(sql.Identifier(name)))
    except errors.InsufficientPrivilege as error:
        raise await _still_in(conn, name) or error from error
    if bounded:
        await conn.execute("SET statement_timeout = 0")  # as our sessions are


async def _still_in(conn: Connection, name: str) -> Unfit | None:
    """Found: "permission denied to terminate process", and nothing about whose, in a database that nobody knew of."""
    row = await fetch_one(conn, b"SELECT oid FROM pg_database WHERE datname = %s", (name,))
    if not (inside := await read_inside(conn, row[0]) if row else {}):
        return None
    return Unfit(f"{name} is not dropped, as our role may not end who is in it: {'; '.join(inside.values())}", hint=ENDS)

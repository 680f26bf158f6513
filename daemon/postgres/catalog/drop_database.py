"""DROP DATABASE waits until every process of the server has heard of it (docs/measured.md, "Cloning by files")."""

from __future__ import annotations

from psycopg import sql

from cutoverd.daemon.postgres.session.reach import Connection

# A process whose client hangs in its login hears nothing, and is ended after `authentication_timeout`: be more patient than that.
PATIENT = """
SELECT set_config('statement_timeout',
                  ((extract(epoch FROM current_setting('authentication_timeout')::interval) + 60) * 1000)::bigint::text, false)
"""


async def drop_database(conn: Connection, name: str, *, force: bool = False, bounded: bool = True) -> None:
    """Drop it; with `force` whoever is in it is ended, without it that raises `errors.ObjectInUse`.

    `bounded`: for what no time-out of a step ends.
    """
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)" if force else "DROP DATABASE {}")
    if bounded:
        await conn.execute(PATIENT)
    await conn.execute(drop.format(sql.Identifier(name)))
    if bounded:
        await conn.execute("SET statement_timeout = 0")  # as our sessions are

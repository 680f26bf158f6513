"""A question of our own on a session that has the plan's search_path: nothing of theirs stands in for what is the server's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cutoverd.daemon.postgres.session.connect import Connection
from cutoverd.daemon.postgres.session.fetch import fetch_one

PATH = "SELECT pg_catalog.current_setting('search_path')"
SET_PATH = "SELECT pg_catalog.set_config('search_path', %s, false)"
CATALOG = "pg_catalog, pg_temp"


@asynccontextmanager
async def own_path(conn: Connection) -> AsyncIterator[None]:
    """Theirs again afterwards; not after an error, which ends their transaction or the session."""
    row = await fetch_one(conn, PATH)
    await conn.execute(SET_PATH, (CATALOG,))
    yield
    await conn.execute(SET_PATH, (row[0] if row else "",))

"""One statement and its rows: what most of our questions to the catalog and the ledger are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.abc import QueryNoTemplate

from cutoverd.daemon.postgres.session.connect import Connection

Params = Sequence[Any] | Mapping[str, Any]


async def fetch_one(conn: Connection, query: QueryNoTemplate, params: Params | None = None) -> tuple[Any, ...] | None:
    """The first row; None if there is none. Raises what `execute` raises."""
    return await (await conn.execute(query, params)).fetchone()


async def fetch_all(conn: Connection, query: QueryNoTemplate, params: Params | None = None) -> list[tuple[Any, ...]]:
    """All rows."""
    return await (await conn.execute(query, params)).fetchall()

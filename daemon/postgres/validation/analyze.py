"""Statistics for the planner: without them the first queries after the cutover may take hours instead of seconds."""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.own_path import own_path
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.ports import Evidence

# A partitioned table takes its partitions along.
TABLES = """
SELECT n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'cutoverd')
 ORDER BY 1, 2
"""


async def analyze(server: Server, *, new: str) -> Evidence:
    """{"tables": n, "seconds": s, "skipped": [...]}; `skipped` is what the server said of tables that it left out."""
    began = time.monotonic()
    skipped: list[str] = []
    async with session(server, new, of_plan=True) as connection:
        connection.add_notice_handler(lambda notice: skipped.append(_notice_text(notice)))
        async with own_path(connection):
            tables = await fetch_all(connection, TABLES)
        if tables:
            names = sql.SQL(", ").join(sql.Identifier(*name) for name in tables)
            await connection.execute(sql.SQL("ANALYZE {}").format(names))
    return {"tables": len(tables), "seconds": round(time.monotonic() - began, 3), "skipped": skipped}


def _notice_text(notice: psycopg.errors.Diagnostic) -> str:
    return notice.message_primary or ""

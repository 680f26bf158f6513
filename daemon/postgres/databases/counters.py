"""What was written, by the counters of the statistics system; a crash of the server resets them, and that is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from cutoverd.daemon.postgres.catalog import acl, pg_database
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError
from cutoverd.states.ports import AttemptId

CounterSnapshot = Mapping[str, Any]  # as `of_database`, with what else was seen then
Tables = Mapping[str, Mapping[str, Any]]

# sessions counts clients, not autovacuum workers; a crash sets the time of the server's own reset
DATABASE = """
SELECT jsonb_build_object(
    'counters', jsonb_build_object('inserted', tup_inserted, 'updated', tup_updated, 'deleted', tup_deleted),
    'sessions', sessions, 'stats_reset', stats_reset,
    'server_stats_reset', (SELECT stats_reset FROM pg_stat_bgwriter))
FROM pg_stat_database WHERE datid = %s
"""

# pg_statistic and its TOAST table are what an autovacuum worker writes when it analyzes; the shared catalogs are written
# from every database
TABLES = """
SELECT s.schemaname || '.' || s.relname, jsonb_build_object(
    'inserted', s.n_tup_ins, 'updated', s.n_tup_upd, 'deleted', s.n_tup_del,
    'file', CASE WHEN s.schemaname NOT IN ('pg_catalog', 'pg_toast') THEN pg_relation_filenode(s.relid)::bigint END)
FROM pg_stat_all_tables s
WHERE s.schemaname <> 'cutoverd' AND s.relid NOT IN (
    SELECT unnest(ARRAY[oid, reltoastrelid]) FROM pg_class
    WHERE relisshared
       OR relnamespace = 'pg_catalog'::regnamespace AND relname IN ('pg_statistic', 'pg_statistic_ext_data'))
ORDER BY 1
"""


async def of_database(conn: Connection, oid: int) -> dict[str, Any]:
    """{"counters": {"inserted", "updated", "deleted"}, "sessions", "stats_reset", "server_stats_reset"}, from any database.

    Raises `StepError` if there is no such database any more.
    """
    row = await fetch_one(conn, DATABASE, (oid,))
    if row is None:
        raise StepError(f"pg_stat_database has no database with oid {oid}: somebody dropped it")
    return dict(row[0])


async def tables(inside: Connection) -> Tables:
    """Table → {"inserted", "updated", "deleted", "file"} of the database that the session is in."""
    return dict(await fetch_all(inside, TABLES))


@asynccontextmanager
async def session_inside(
    conn: Connection, server: Server, attempt_id: AttemptId, known: TrackedDatabase
) -> AsyncIterator[Connection]:
    """A session in a database of ours; one that refused connections is opened to us alone, and closed again afterwards.

    Raises `StepError` if it is gone.
    """
    if known.name is None:
        raise StepError(f"the database with oid {known.oid}, {known.row.name} once, is gone: somebody dropped it")
    if not known.accepts_connections:
        async with ledger.fenced_transaction(conn, attempt_id):
            await acl.restrict(conn, known.oid)
            await pg_database.accept_connections(conn, known.oid, True)
    try:
        async with session(server, known.name) as inside:
            yield inside
    finally:
        if not known.accepts_connections:
            async with ledger.fenced_transaction(conn, attempt_id):
                await pg_database.accept_connections(conn, known.oid, False)

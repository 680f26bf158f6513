"""How much the WAL of a server grows while so much is written: to its limit, or past it where something keeps the old."""

from __future__ import annotations

from dataclasses import dataclass

from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

LIMIT = b"""
SELECT greatest(pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('wal_keep_size'))),
       concat_ws(' and ', CASE WHEN current_setting('archive_mode') <> 'off' THEN 'archive_mode' END,
                          CASE WHEN EXISTS (SELECT FROM pg_replication_slots) THEN 'replication slots' END),
       has_function_privilege('pg_catalog.pg_ls_waldir()', 'EXECUTE')
"""
THERE = b"SELECT coalesce(sum(size), 0)::bigint FROM pg_catalog.pg_ls_waldir()"


@dataclass(frozen=True)
class WalNeed:
    """Bytes that it takes beyond those that it has."""

    expected_bytes: int  # with checkpoints, archive and readers that keep up
    at_worst_bytes: int  # with an archive or a reader that stands still
    kept_by: str = ""  # by what, in words


async def read_need(conn: Connection, written_bytes: int) -> WalNeed:
    """`written_bytes`: of rows; their WAL is taken to be as much. Files that are there already are used again."""
    limit, keeps, may_list = await fetch_one(conn, LIMIT) or (0, "", False)
    [there] = (await fetch_one(conn, THERE) if may_list else None) or (0,)
    expected = min(max(int(limit) - int(there), 0), written_bytes)
    at_worst = written_bytes if keeps else expected
    return WalNeed(expected, at_worst, f"{keeps} may keep all WAL until it is archived or read" if keeps else "")

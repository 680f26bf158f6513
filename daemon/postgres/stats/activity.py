"""Asking the server how far our sessions are: a short session of its own, which no step waits for and no step sees."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.pins import READ_ONLY
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.progress import ProgressReading
from cutoverd.daemon.sqltext.redact import redact

QUERY_SECONDS = 3.0
# Read-only, and gone soon: a look that hangs must not pile up beside a server that is in trouble.
SESSION = {READ_ONLY: "on", "statement_timeout": "2000", "lock_timeout": "500"}
ACTIVITY = Path(__file__).with_name("activity.sql").read_bytes()
SIZE = "SELECT pg_database_size(%s)"


@dataclass(frozen=True)
class Activity:
    """What one session is doing."""

    database: str
    query: str
    waits_for: str = ""
    progress: ProgressReading = field(default_factory=ProgressReading)  # as pg_stat_progress_* tells it, if it does
    lock_holders: str = ""  # who has the lock that it waits for

    def describe(self) -> str:
        """`CREATE INDEX: building index: 34 %`, or the statement without what is data in it."""
        if self.lock_holders:
            return f"waits for a lock that {self.lock_holders} has: {redact(self.query)}"
        if not self.progress.doing:
            return redact(self.query)
        ratio = self.progress.ratio
        far = (
            f"{ratio:.0%}" if ratio is not None else ProgressReading(done=self.progress.done, unit=self.progress.unit).describe()
        )
        return f"{self.progress.doing}: {far}" if far else self.progress.doing


async def activities(server: Server) -> list[Activity]:
    """Of this daemon's sessions, the longest first; raises psycopg.Error, TimeoutError, OSError."""
    async with asyncio.timeout(QUERY_SECONDS), await _connect(server) as conn:
        rows = await fetch_all(conn, ACTIVITY, (server.application_name,))
    return [_activity(*row) for row in rows]


async def size_bytes(server: Server, database: str) -> int:
    """Of a whole database; raises as `activities` does."""
    async with asyncio.timeout(QUERY_SECONDS), await _connect(server) as conn:
        row = await fetch_one(conn, SIZE, (database,))
    return int(row[0]) if row else 0


async def _connect(server: Server) -> Connection:
    """On the ledger's database, whose name never changes hands; under a name that no step takes for its own."""
    return await server.connect(LEDGER, settings=SESSION, application_name=f"cutoverd-watch/{server.run}", connect_seconds=2)


def _activity(
    database: str,
    query: str,
    waits_for: str,
    lock_holders: str | None,
    command: str | None,
    phase: str | None,
    done: float | None,
    total: float | None,
    unit: str | None,
) -> Activity:
    doing = ": ".join(part for part in (command, phase) if part)
    progress = ProgressReading(doing, done, total, unit or "") if command else ProgressReading()
    return Activity(database, query, waits_for, progress, lock_holders or "")

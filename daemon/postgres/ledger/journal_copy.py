"""The copy of a run's journal in the ledger, written by the daemon that has the fence alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from cutoverd.daemon.engine.copies import CopiedEvent, Waiting
from cutoverd.daemon.engine.errors import LogRegressed
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.in_time import answer_within
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.ports import AttemptId

log = Logger(__name__)

FLUSH_SECONDS = 2.0  # that a run waits for its copy
STATEMENT_SECONDS = 10.0
IDLE_SECONDS = 5.0  # of a transaction that was cut: the next attempt waits for the rows that it has locked
PAUSE_SECONDS = 5.0  # after a failure: a run whose PostgreSQL is away must not pay for it at each event
SETTLE_SECONDS = 0.2
MOST_AT_ONCE = 500

COPY = """
INSERT INTO cutoverd.journal_copy (run, n, seq, hash, message)
SELECT %(run)s, %(n)s, %(seq)s, %(hash)s, %(message)s
WHERE EXISTS (SELECT FROM cutoverd.fence WHERE run = %(run)s AND epoch = %(epoch)s)
ON CONFLICT (run, n) DO NOTHING
"""
HASHES = "SELECT n, hash FROM cutoverd.journal_copy WHERE run = %s"
HASHES_OF = "SELECT n, hash FROM cutoverd.journal_copy WHERE run = %s AND n = ANY (%s)"
READ = "SELECT run, n, seq, hash, message FROM cutoverd.journal_copy ORDER BY run, n"
READ_RUN = "SELECT message FROM cutoverd.journal_copy WHERE run = %s ORDER BY n"
HIGHEST = "SELECT greatest((SELECT max(seq) FROM cutoverd.journal_copy), (SELECT max(seq) FROM cutoverd.anchor))"
HIGHEST_ANCHOR = "SELECT max(seq) FROM cutoverd.anchor"
MISSING = "SELECT 1 WHERE to_regclass('cutoverd.journal_copy') IS NULL"
REPLACE = """
INSERT INTO cutoverd.journal_copy (run, n, seq, hash, message) VALUES (%(run)s, %(n)s, %(seq)s, %(hash)s, %(message)s)
ON CONFLICT (run, n) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, message = excluded.message
"""
CUT = "DELETE FROM cutoverd.journal_copy WHERE run = %s AND n > %s"
TROUBLE = (psycopg.Error, OSError, TimeoutError)


class LedgerCopy:
    """`JournalCopy` in `cutoverd.journal_copy`; nothing is written until `lead` has told who has the fence."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._waiting: Waiting = Waiting()
        self._connection: Connection | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._differs: LogRegressed | None = None

    def lead(self, server: Server) -> None:
        """`server` is that of the epoch that has the fence."""
        self._server = server

    def add(self, event: CopiedEvent) -> None:
        self._waiting.events.append(event)

    async def flush(self) -> None:
        if self._server is None or self._differs or time.monotonic() < self._not_before:
            return
        if self._flushing is None or self._flushing.done():
            # a task: psycopg is slow to leave a server that stands still: docs/measured.md, "A client that was killed"
            self._flushing = asyncio.create_task(self._try_flush(self._server))
        await asyncio.wait({self._flushing}, timeout=FLUSH_SECONDS)

    async def settled(self) -> None:
        while self._waiting.events:
            await self.flush()
            if self._differs:
                raise self._differs
            if self._waiting.events:
                await asyncio.sleep(SETTLE_SECONDS)

    async def aclose(self) -> None:
        """End the session, and a flush that hangs."""
        if self._flushing:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        await self._drop()

    async def _try_flush(self, server: Server) -> None:
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                await self._flush(server)
        except LogRegressed as error:
            self._differs = error
            log.error("journal_copy_differs", run=server.run, reason=str(error), doing="copies nothing more to the ledger")
        except TROUBLE as error:
            self._not_before = time.monotonic() + PAUSE_SECONDS
            await self._drop()
            log.warning("journal_not_copied", run=server.run, error=str(error).strip() or repr(error))

    async def _flush(self, server: Server) -> None:
        connection = await self._session(server)
        if events := self._waiting.next_events()[:MOST_AT_ONCE]:
            await answer_within(STATEMENT_SECONDS, connection, self._write(server, connection, events))
        self._waiting.next_events()  # another daemon's event may have been there
        self._waiting.have([])

    async def _write(self, server: Server, connection: Connection, events: list[CopiedEvent]) -> None:
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(COPY, [_row(server, each) for each in events])
            await cursor.execute(HASHES_OF, (server.run, [each.n for each in events]))
            self._waiting.hashes |= dict(await cursor.fetchall())

    async def _session(self, server: Server) -> Connection:
        """Made anew if it was ended; what is there is read first."""
        if self._connection is None or self._connection.closed:
            self._connection = await server.connect(settings=_settings())
            async with self._connection.cursor() as cursor:
                await cursor.execute(HASHES, (server.run,))
                self._waiting.hashes |= dict(await cursor.fetchall())
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _settings() -> dict[str, str]:
    """Found: the server did not know that a copy was cut, and kept its locks for hours, in the way of window and rollback."""
    return {
        "statement_timeout": f"{STATEMENT_SECONDS:g}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS:g}s",
    }


def _row(server: Server, event: CopiedEvent) -> dict[str, Any]:
    return {
        "run": server.run,
        "epoch": server.epoch,
        "n": event.n,
        "seq": event.seq,
        "hash": event.hash,
        "message": event.body,
    }


async def read_all(server: Server) -> dict[str, list[CopiedEvent]]:
    """Every run's copy, by its name, in order; none in a ledger that keeps none."""
    copies: dict[str, list[CopiedEvent]] = {}
    async with session(server) as conn:
        if await fetch_one(conn, MISSING):
            return {}
        for run, n, seq, hash, message in await (await conn.execute(READ)).fetchall():
            copies.setdefault(run, []).append(CopiedEvent(n, seq, hash, bytes(message)))
    return copies


async def read_run(server: Server, run: str) -> list[bytes]:
    """The messages of one, in order."""
    async with session(server) as conn:
        if await fetch_one(conn, MISSING):
            return []
        return [bytes(message) for (message,) in await fetch_all(conn, READ_RUN, (run,))]


async def highest_seq(server: Server) -> int:
    """Of the stream, as far as copies and anchors of any run have seen it."""
    async with session(server) as conn:
        row = await fetch_one(conn, HIGHEST_ANCHOR if await fetch_one(conn, MISSING) else HIGHEST)
    return int(row[0] or 0) if row else 0


async def replace(conn: Connection, attempt_id: AttemptId, events: Sequence[CopiedEvent]) -> None:
    """The copy of this run is these events, where they lie now; raises `NotLeader`."""
    async with ledger.fenced_transaction(conn, attempt_id), conn.cursor() as cursor:
        rows = [{"run": attempt_id.run, "n": each.n, "seq": each.seq, "hash": each.hash, "message": each.body} for each in events]
        await cursor.executemany(REPLACE, rows)
        await cursor.execute(CUT, (attempt_id.run, len(events)))

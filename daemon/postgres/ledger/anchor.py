"""The anchor in the ledger: a table of its own, so that it never waits for a running step."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg

from cutoverd.daemon.engine.anchor import Anchored
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server

log = Logger(__name__)

SAVE_SECONDS = 2.0
LOAD_SECONDS = 10.0
PAUSE_SECONDS = 5.0  # after a failure: a run whose PostgreSQL is away must not pay for it at each event

SAVE = """
INSERT INTO cutoverd.anchor AS kept (run, seq, hash) VALUES (%s, %s, %s)
ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, hash = excluded.hash WHERE kept.seq < excluded.seq
"""
LOAD = "SELECT seq, hash FROM cutoverd.anchor WHERE run = %s"
TROUBLE = (psycopg.Error, OSError, TimeoutError)


class LedgerAnchor:
    """The newest event of the server's run, in `cutoverd.anchor`.

    Keeps one session, made anew once if it was ended (by a takeover, by a restart of the server); `close` ends it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._not_before = 0.0

    async def save(self, seq: int, hash: str) -> None:
        """Returns within 2 s, saved or not; while an earlier save still hangs, or has just failed, nothing is tried."""
        if time.monotonic() < self._not_before or (self._saving and not self._saving.done()):
            return
        # a task: psycopg is slow to leave a server that stands still: docs/measured.md, "A client that was killed"
        self._saving = asyncio.create_task(self._try_save(seq, hash))
        await asyncio.wait({self._saving}, timeout=SAVE_SECONDS)

    async def load(self) -> Anchored | None:
        """None if nothing was saved, or if PostgreSQL does not answer within 10 s (logged)."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                row = await fetch_one(await self._session(), LOAD, (self._server.run,))
        except TROUBLE as error:
            log.warning("ledger_anchor_not_read", run=self._server.run, error=str(error).strip() or repr(error))
            return None
        finally:
            await self._drop()  # a takeover follows, which would end it and call it an orphan
        return Anchored(row[0], row[1]) if row else None

    async def close(self) -> None:
        """End the session, and a save that hangs."""
        if self._saving:
            self._saving.cancel()
            await asyncio.wait({self._saving})
        await self._drop()

    async def _try_save(self, seq: int, hash: str) -> None:
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                await self._save(seq, hash)
        except TROUBLE as error:
            self._not_before = time.monotonic() + PAUSE_SECONDS
            await self._drop()
            log.warning("ledger_anchor_not_saved", run=self._server.run, seq=seq, error=str(error).strip() or repr(error))

    async def _save(self, seq: int, hash: str) -> None:
        kept = self._connection is not None
        try:
            await (await self._session()).execute(SAVE, (self._server.run, seq, hash))
        except psycopg.OperationalError:
            await self._drop()
            if not kept:
                raise
            await (await self._session()).execute(SAVE, (self._server.run, seq, hash))

    async def _session(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = await self._server.connect(settings={"statement_timeout": f"{SAVE_SECONDS:g}s"})
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

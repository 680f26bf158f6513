"""The anchor in the ledger: a table of its own, so that it never waits for a running step."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import structlog

from cutoverd.daemon.bus.anchor import Anchored
from cutoverd.daemon.postgres.server import Server

log = structlog.get_logger(__name__)

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
    """The newest event of the server's run, in `cutoverd.anchor`. Keeps one session; `close` ends it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._not_before = 0.0

    async def save(self, seq: int, hash: str) -> None:
        """Within 2 s or not at all; a session that was ended (by a takeover, by a restart) is made anew once."""
        if time.monotonic() < self._not_before:
            return
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                await self._save(seq, hash)
        except TROUBLE as error:
            self._not_before = time.monotonic() + PAUSE_SECONDS
            await self.close()
            log.warning("ledger_anchor_not_saved", run=self._server.run, seq=seq, error=str(error).strip() or repr(error))

    async def load(self) -> Anchored | None:
        """None if nothing was saved, or if PostgreSQL does not answer within 10 s (logged)."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                row = await (await (await self._session()).execute(LOAD, (self._server.run,))).fetchone()
        except TROUBLE as error:
            await self.close()
            log.warning("ledger_anchor_not_read", run=self._server.run, error=str(error).strip() or repr(error))
            return None
        return Anchored(row[0], row[1]) if row else None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _save(self, seq: int, hash: str) -> None:
        kept = self._connection is not None
        try:
            await (await self._session()).execute(SAVE, (self._server.run, seq, hash))
        except psycopg.OperationalError:
            await self.close()
            if not kept:
                raise
            await (await self._session()).execute(SAVE, (self._server.run, seq, hash))

    async def _session(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = await self._server.connect()
        return self._connection

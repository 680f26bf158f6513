"""Somebody who connects to the scratch database again and again, as an application does that does not know of the night."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed

PAUSE_SECONDS = 0.05
LET_IN_SECONDS = 20.0


class Visitor:
    """`connections`: how often it was let in."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.connections = 0
        self.has_left = False

    async def is_let_in(self) -> None:
        """Once more from now on; raises `CheckFailed`."""
        before = self.connections
        try:
            async with asyncio.timeout(LET_IN_SECONDS):
                while self.connections == before:
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            name = self._server.names.production
            raise CheckFailed(f"{name} let nobody in for {LET_IN_SECONDS:g} s", hint="look at it in pg_database") from None

    async def come_again_and_again(self) -> None:
        """Until `has_left`: psycopg 3.2 told of a session that was ended in place of the cancel that met it."""
        while not self.has_left:
            try:
                await self._stay()
            except psycopg.OperationalError:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _stay(self) -> None:
        """Until somebody ends the session."""
        async with await self._server.connect(self._server.names.production) as conn:
            self.connections += 1
            while True:
                await conn.execute("SELECT 1")
                await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def visiting(server: Server) -> AsyncIterator[Visitor]:
    """From before the block until after it."""
    visitor = Visitor(server)
    coming = asyncio.create_task(visitor.come_again_and_again())
    try:
        await visitor.is_let_in()
        yield visitor
    finally:
        visitor.has_left = True
        await end_tasks(coming)

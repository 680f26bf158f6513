"""Looking at a run's journal while a daemon writes it: cheap enough to look every few milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from threading import Thread

from cutoverd.daemon.bus.connection import DOUBT, Client, connect
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.embedded.nats import Nats
from cutoverd.daemon.postgres.ledger.journal_key import find_cached
from cutoverd.events.codec import Chain, NotOurs, Recorded
from cutoverd.events.subjects import STREAM, events_of

ANSWER_SECONDS = 10


async def replayed(server: Nats, run: str, run_dir: Path) -> list[Recorded]:
    """The whole journal, its chain proven, by the key that the run's folder holds."""
    key = find_cached(run_dir)
    client = await connect(server.url, user=server.user, password=server.password)
    chain, found = Chain(), []
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for message in Journal(client, events_of(run)).replay():
                with contextlib.suppress(NotOurs):
                    found.append(chain.read(message.data, message.seq, run, key))
                    chain = chain.extended(message.data, message.seq)
    finally:
        await client.close()
    return found


class Reader:
    """One connection in a thread of its own; it comes back by itself when the server does."""

    def __init__(self, server: Nats, run: str, run_dir: Path) -> None:
        self._server, self._run_dir = server, run_dir
        self._run, self._seq = run, 0
        self._subject = events_of(run)
        self._client: Client | None = None
        self._found: list[Recorded] = []
        self._chain = Chain()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()

    def read(self) -> list[Recorded]:
        """All events seen so far, the newest too if the server answers."""
        asyncio.run_coroutine_threadsafe(self._read(), self._loop).result(2 * ANSWER_SECONDS)
        return list(self._found)

    async def _read(self) -> None:
        with contextlib.suppress(*DOUBT, Unreachable):
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._client is None:
                    self._client = await connect(self._server.url, user=self._server.user, password=self._server.password)
                while True:
                    await self._read_next(self._client)

    async def _read_next(self, client: Client) -> None:
        """Raises a NATS error when there is none."""
        message = await client.js.get_msg(STREAM, seq=self._seq + 1, next=True, subject=self._subject)
        assert message.seq is not None
        data = message.data or b""
        self._seq = message.seq
        with contextlib.suppress(NotOurs):
            self._found.append(self._chain.read(data, message.seq, self._run, find_cached(self._run_dir)))
            self._chain = self._chain.extended(data, message.seq)

    def close(self) -> None:
        if self._client:
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(ANSWER_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()

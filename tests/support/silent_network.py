"""A network between a client and a server that forgets what is open, as a firewall does that was restarted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType

from psycopg.conninfo import make_conninfo

from cutoverd.daemon.postgres.session.server import Server


@dataclass(eq=False)
class SilentNetwork:
    """To a port of this machine; what is opened later passes as ever. Use it as a context manager."""

    port: int
    silent_after: bytes = b""  # what passes to the server as the last of its connection
    resets: bool = False  # then the client is told that it is lost, and the server is not
    _silent: set[asyncio.Task[None]] = field(default_factory=set)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> SilentNetwork:
        self._listener = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def before(self, server: Server) -> Server:
        port = self._listener.sockets[0].getsockname()[1]
        return replace(server, url=make_conninfo(server.url, host="127.0.0.1", port=port))

    def silence(self) -> None:
        """What is open now passes nothing more, not even its end."""
        self._silent |= self._open

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        there, to_there = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(self._up(task, reader, to_there, writer), self._down(task, there, writer))
        except asyncio.CancelledError:
            pass  # asyncio's own callback would ask a cancelled task for its error
        finally:
            self._open.discard(task)
            writer.close()
            to_there.close()

    async def _up(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        to_there: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if task in self._silent:
                    continue
                to_there.write(data)
                if self.silent_after and self.silent_after in data:
                    self.silent_after = b""
                    self._silent.add(task)
                    if self.resets:
                        await asyncio.sleep(0.1)  # for the server to have it
                        writer.transport.abort()
        await self._ended(task, to_there)

    async def _down(self, task: asyncio.Task[None], there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await there.read(65536):
                if task not in self._silent:
                    writer.write(data)
        await self._ended(task, writer)

    async def _ended(self, task: asyncio.Task[None], other: asyncio.StreamWriter) -> None:
        """The other end is told, where anything passes; else nobody is until the test ends."""
        if task in self._silent:
            await asyncio.Event().wait()
        other.close()

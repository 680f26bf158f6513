"""Where a child's output goes: bounded, whatever it writes and whoever it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

_CHUNK_BYTES = 64 * 1024
_FILE_BYTES_MAX = 16 * 1024 * 1024
_POLL_SECONDS = 0.1


class Output(Protocol):
    """One output of one child; `sink` is what the child writes to."""

    sink: int

    async def begin(self) -> None:
        """Once the child has its copy of the sink."""

    async def end(self) -> str:
        """The last that was written, once the child has ended; frees everything."""


class Drained:
    """A pipe, read as long as somebody writes, at most `left_behind_seconds` longer than the child lives."""

    def __init__(self, tail_bytes: int, left_behind_seconds: float) -> None:
        self._tail_bytes = tail_bytes
        self._left_behind_seconds = left_behind_seconds
        self._tail = bytearray()
        self._source, self.sink = os.pipe()
        self._transport: asyncio.ReadTransport | None = None
        self._reading: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        os.close(self.sink)
        self.sink = -1
        reader = asyncio.StreamReader()
        source = os.fdopen(self._source, "rb", buffering=0)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            self._tail += chunk
            if len(self._tail) > 2 * self._tail_bytes:  # not at each chunk: what stays is copied then
                del self._tail[: -self._tail_bytes]

    async def end(self) -> str:
        if self._reading and self._transport:
            await asyncio.wait([self._reading], timeout=self._left_behind_seconds)
            self._reading.cancel()
            self._transport.close()
        else:
            os.close(self._source)
            os.close(self.sink)
        return self._tail[-self._tail_bytes :].decode(errors="replace")


class Filed:
    """A file, for what may go on writing when the child and this daemon are gone; emptied when it grows too long.

    It is removed at the end unless somebody still writes to it.
    """

    def __init__(self, path: Path, tail_bytes: int) -> None:
        self._path = path
        self._tail_bytes = tail_bytes
        self._emptied = b""
        self.sink = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._watching: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._close_sink()
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if os.fstat(self._file).st_size > _FILE_BYTES_MAX:
                self._emptied = self._last()
                os.ftruncate(self._file, 0)

    async def end(self) -> str:
        if self._watching:
            self._watching.cancel()
        self._close_sink()
        tail = (self._emptied + self._last())[-self._tail_bytes :]
        if not self._is_written():
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        return tail.decode(errors="replace")

    def _close_sink(self) -> None:
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def _last(self) -> bytes:
        return os.pread(self._file, self._tail_bytes, max(0, os.fstat(self._file).st_size - self._tail_bytes))

    def _is_written(self) -> bool:
        """A write lease is given only to the one who has opened the file."""
        if not hasattr(fcntl, "F_SETLEASE"):
            return True
        try:
            fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except BlockingIOError:
            return True
        except OSError:  # a file system without leases
            return False
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

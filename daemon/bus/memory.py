"""The bus in memory, for tests of what stands on it: the same promises, kept by the same contract tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from cutoverd.daemon.engine.errors import Conflict, ServerRefused
from cutoverd.daemon.engine.message import LARGEST_MESSAGE_BYTES, Message
from cutoverd.events.subjects import COMMANDS, commands_of


class MemoryStream:
    """One stream. Journals on it are rivals, as two daemons are."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._grown = asyncio.Condition()

    def journal(self, subject: str) -> MemoryJournal:
        return MemoryJournal(self, subject)

    def commands(self) -> MemoryCommands:
        return MemoryCommands(self)

    def last(self, subject: str) -> int:
        """The sequence of the subject's last message, 0 if there is none."""
        return next((m.seq for m in reversed(self.messages) if m.subject == subject), 0)

    async def store(self, subject: str, id: str, body: bytes) -> int:
        """Its sequence; raises `ServerRefused` for one that is too large, as the server."""
        if len(body) > LARGEST_MESSAGE_BYTES:
            raise ServerRefused(f"{subject}: a message of {len(body)} bytes was refused")
        self.messages.append(Message(len(self.messages) + 1, body, datetime.now(UTC), subject, id))
        async with self._grown:
            self._grown.notify_all()
        return len(self.messages)

    async def read(self, start: int) -> AsyncGenerator[Message, None]:
        at = max(start, 1) - 1
        while True:
            async with self._grown:
                while len(self.messages) <= at:
                    await self._grown.wait()
            yield self.messages[at]
            at += 1


class MemoryJournal:
    """`Journal` in memory."""

    def __init__(self, stream: MemoryStream, subject: str) -> None:
        self._stream = stream
        self._subject = subject
        self._last_seq = 0

    async def append(self, id: str, body: bytes) -> int:
        """As `Journal.append`; raises `Conflict` if another writer was there."""
        last = self._stream.last(self._subject)
        if last != self._last_seq:
            raise Conflict(f"{self._subject} ends at sequence {last}, expected {self._last_seq}: another writer has appended")
        self._last_seq = await self._stream.store(self._subject, id, body)
        return self._last_seq

    async def replay(self) -> AsyncGenerator[Message, None]:
        self._last_seq = 0
        async for message in self.read_on():
            yield message

    async def read_on(self) -> AsyncGenerator[Message, None]:
        end = self._stream.last(self._subject)
        for message in [m for m in self._stream.messages[self._last_seq : end] if m.subject == self._subject]:
            self._last_seq = message.seq
            yield message

    async def follow(self, start: int) -> AsyncGenerator[Message, None]:
        async for message in self._stream.read(start):
            if message.subject == self._subject:
                yield message


class MemoryCommands:
    """`CommandStream` in memory."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream

    async def read(self, start: int) -> AsyncGenerator[Message, None]:
        async for message in self._stream.read(start):
            if message.subject == COMMANDS or message.subject.startswith(f"{COMMANDS}."):
                yield message

    async def publish(self, body: bytes, *, operator: str | None = None, id: str) -> int:
        stored = next((m.seq for m in self._stream.messages if m.id == id), None)
        return stored or await self._stream.store(commands_of(operator), id, body)

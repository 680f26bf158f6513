"""A message as the stream holds it, and what a journal of them can do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

LARGEST_MESSAGE_BYTES = 64 * 1024  # of subject, headers and body together


@dataclass(frozen=True)
class Message:
    """Bytes that the stream keeps for good."""

    seq: int  # of the stream, so commands and events are in one order
    data: bytes
    at: datetime  # the server's clock when it was stored, UTC
    subject: str
    id: str = ""  # its Nats-Msg-Id; empty if the sender gave none


class EventLog(Protocol):
    """One subject of the stream, to which one writer at a time appends. `Journal` and `MemoryJournal` are two."""

    async def append(self, id: str, body: bytes) -> int:
        """Store `body` right after the last message that this writer has seen; its stream sequence.

        Raises `Conflict` (not seen the end: replay), `LogRegressed`, `ServerRefused`, `Unavailable`.
        """

    def replay(self) -> AsyncGenerator[Message, None]:
        """All messages up to the end as it is now, oldest first; afterwards `append` may follow."""

    def read_on(self) -> AsyncGenerator[Message, None]:
        """What lies after the last message that this writer has seen, up to the end; afterwards `append` may follow."""

    def follow(self, start: int) -> AsyncGenerator[Message, None]:
        """Messages from stream sequence `start` on, for ever."""


class CommandLog(Protocol):
    """The commands of all operators. `CommandStream` and `MemoryCommands` are two."""

    def read(self, start: int) -> AsyncGenerator[Message, None]:
        """Commands from stream sequence `start` on, in stream order, each once, for ever."""

    async def publish(self, body: bytes, *, operator: str | None = None, id: str) -> int:
        """Store a command; its stream sequence. The same id again stores nothing and gives the first one's sequence."""

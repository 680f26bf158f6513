"""The journal is kept three times: the stream is first, and decides; what it acknowledged is copied to ledger and file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cutoverd.daemon.engine.errors import LogRegressed


@dataclass(frozen=True)
class CopiedEvent:
    """An event as the stream holds it."""

    n: int  # 1, 2, 3, … within the run
    seq: int  # of the stream
    hash: str
    body: bytes


class JournalCopy(Protocol):
    """One copy of one run's journal. It never holds the run up, but where a step waits for it on purpose."""

    def add(self, event: CopiedEvent) -> None:
        """To be copied; one that is there already is not copied again."""

    async def flush(self) -> None:
        """Copy what waits. Never raises and never waits long: what failed is logged, and waits on."""

    async def settled(self) -> None:
        """Returns once nothing waits; raises `LogRegressed` if the copy is of another journal."""


class Waiting:
    """What a copy has, and what it has yet to get."""

    def __init__(self) -> None:
        self.hashes: dict[int, str] = {}  # of what it has, by n
        self.events: list[CopiedEvent] = []

    def next_events(self) -> list[CopiedEvent]:
        """What follows, in order; raises `LogRegressed` if the copy holds another event in the place of one."""
        for each in self.events:
            if self.hashes.get(each.n, each.hash) != each.hash:
                raise LogRegressed(f"the copy of the journal holds another event {each.n} than the stream (sequence {each.seq})")
        new = {each.n: each for each in self.events if each.n not in self.hashes}
        return [new[n] for n in sorted(new)]

    def have(self, events: list[CopiedEvent]) -> None:
        """They are copied now."""
        self.hashes |= {each.n: each.hash for each in events}
        self.events = [each for each in self.events if self.hashes.get(each.n) != each.hash]

"""Refused commands: of people each has an event of its own, of a flood one event a second tells how many there were."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cutoverd.events import facts

ALONE, ALONE_PER_SECOND = 10, 1.0  # what a few people and a script can get wrong
NOTES, NOTES_PER_SECOND = 20, 2.0  # each is an event; more are refused, or whoever says `advance` would wait for all of them
REPORT_SECONDS = 1.0
LONGEST_REASON = 500  # characters, of two of them in one event


class Allowance:
    """So many at once, and so many a second."""

    def __init__(self, at_once: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._left, self._per_second = float(at_once), float(at_once), per_second
        self._clock, self._at = clock, clock()

    def take_one(self) -> bool:
        """False if there is none left."""
        now = self._clock()
        self._left, self._at = min(self._most, self._left + (now - self._at) * self._per_second), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True)
class CommandRefusal:
    """A command that does not count, where it lies and why."""

    seq: int
    verb: str
    by: str | None
    reason: str


class Refusals:
    """Those that are not on record yet."""

    def __init__(self) -> None:
        self._ends: tuple[CommandRefusal, CommandRefusal] | None = None  # the first and the last
        self._count = 0

    @property
    def last_seq(self) -> int:
        return self._ends[1].seq if self._ends else 0

    def add(self, refusal: CommandRefusal) -> bool:
        """Whether it is the first."""
        self._ends, self._count = (self._ends[0] if self._ends else refusal, refusal), self._count + 1
        return self._count == 1

    def event(self) -> facts.CommandsRejected | None:
        """All of them as one event; None if there are none."""
        if self._ends is None:
            return None
        first, last = map(_refused, self._ends)
        return facts.CommandsRejected(count=self._count, first=first, last=last)


def _refused(refusal: CommandRefusal) -> facts.RefusedCommand:
    reason = refusal.reason
    short = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…"
    return facts.RefusedCommand(seq=refusal.seq, verb=refusal.verb, by=refusal.by, reason=short)

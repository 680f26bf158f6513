"""Messages on the run's subject that are not ours: counted until an event tells of them, and waited out where they pour in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cutoverd.daemon.host.log import Logger
from cutoverd.events import facts
from cutoverd.events.codec import NotOurs

log = Logger(__name__)

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 600.0  # between two events that tell of them: of a flood there are few
FIND_SECONDS = 1.0  # that is looked for them while nothing else is done
CROWDED_SECONDS = 30.0  # that an event is offered again at once; then with pauses, and the run is held
PAUSE_SECONDS = 1.0


@dataclass
class ForeignMessages:
    """Those that no event has told of yet."""

    clock: Callable[[], float] = time.monotonic
    count: int = 0
    _first: int = 0
    _last: int = 0
    _reason: str = ""
    _not_before: float = field(default=0.0)
    _pause_seconds: float = FIRST_SECONDS

    def add(self, seq: int, reason: NotOurs) -> None:
        if not self.count:
            self._first, self._reason = seq, str(reason)
        self._last, self.count = seq, self.count + 1

    def clear(self) -> None:
        """An event that lies after them has told of them."""
        self.count = 0

    @property
    def seconds_until_due(self) -> float:
        """Until they may be told of."""
        return max(0.0, self._not_before - self.clock())

    def event(self) -> facts.ForeignMessagesFound:
        """All of them, for the journal."""
        return facts.ForeignMessagesFound(count=self.count, first_seq=self._first, last_seq=self._last, reason=self._reason)

    def recorded(self) -> None:
        """The next event about others waits longer."""
        self._not_before = self.clock() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_SECONDS)


@dataclass
class Crowd:
    """One event that finds no place, since others publish faster than we."""

    subject: str
    began: float | None = None
    is_lasting: bool = False

    def begin(self) -> None:
        """It was refused its place for the first time, or again."""
        self.began = self.began or time.monotonic()

    async def pause(self, reason: str) -> None:
        """Before the next try: none at first, then one second each, and a line in the log."""
        if self.began is None or time.monotonic() - self.began < CROWDED_SECONDS:
            return
        if not self.is_lasting:
            log.error("journal_crowded", run=self.subject, reason=reason, doing="nothing else until an event finds its place")
        self.is_lasting = True
        await asyncio.sleep(PAUSE_SECONDS)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began if self.began else 0.0

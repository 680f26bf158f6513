"""The run as it happens, a line for each event: for people, or for programs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cutoverd.daemon.host.printable import printable
from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter
from cutoverd.daemon.views.event_lines import WAITING, line, waits_for_ready
from cutoverd.daemon.views.summary import format_ending
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run

T = TypeVar("T")


class EventPrinter:
    """An observer of the run log."""

    def __init__(self, out: NonBlockingWriter, text: Callable[[Run, Recorded], str]) -> None:
        self._out, self._text = out, text

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self._out.write(printable(f"{self._text(run, recorded)}\n"))

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        return await work


class TextFormat:
    """An observer's text for people: the event, and what follows from it though it is no event."""

    def __init__(self) -> None:
        self._timeline = Timeline()
        self._awaited = ""

    def __call__(self, run: Run, recorded: Recorded) -> str:
        self._timeline.apply(recorded)
        after = [*self._asked(run, recorded), *(f"           {text}" for text in format_ending(run, self._timeline))]
        return "\n".join([line(run, recorded), *after])

    def _asked(self, run: Run, recorded: Recorded) -> list[str]:
        """Once, when the wait begins, and again for those who are left."""
        before, self._awaited = self._awaited, waits_for_ready(run)
        asked = f"{recorded.envelope.time:%H:%M:%S} {WAITING} {self._awaited}"
        return [asked] if self._awaited not in ("", before) else []

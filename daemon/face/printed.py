"""The run as it happens, a line for each event: for people, or for programs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cutoverd.daemon.face.aside import Aside
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run

T = TypeVar("T")


class Printed:
    """An observer of the run log."""

    def __init__(self, out: Aside, text: Callable[[Run, Recorded], str]) -> None:
        self._out, self._text = out, text

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self._out.write(f"{self._text(run, recorded)}\n")

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        return await work

"""What the code of a step says of its own progress: a courtesy to those who watch, kept nowhere, and in nobody's way."""

from __future__ import annotations

from contextvars import ContextVar

from cutoverd.daemon.face.progress import Seen


class Telling:
    """Where the running step's words end up; the next step begins with none."""

    def __init__(self) -> None:
        self.seen = Seen()

    def heard_by_all_that_follows(self) -> None:
        """From here on `tell` of this task, and of those that it makes, is heard here."""
        _TELLING.set(self)


_TELLING: ContextVar[Telling | None] = ContextVar("cutoverd_telling", default=None)


def tell(doing: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
    """Say what is being done; without anybody who listens it is nothing."""
    if telling := _TELLING.get():
        telling.seen = Seen(doing, done, total, unit)

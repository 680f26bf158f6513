"""What is tried four times a second while a server is away would fill a night's log."""

from __future__ import annotations

import time
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Outage:
    """Told once when it begins and once when it is over; `words` are of both lines."""

    def __init__(self, begins: str, ends: str, **words: Any) -> None:
        self._begins, self._ends, self._words = begins, ends, words
        self._began: float | None = None

    def goes_on(self, **seen: Any) -> None:
        if self._began is None:
            self._began = time.monotonic()
            log.warning(self._begins, **self._words, **seen)

    def is_over(self) -> None:
        if self._began is not None:
            seconds, self._began = round(time.monotonic() - self._began, 1), None
            log.info(self._ends, **self._words, after_seconds=seconds)

"""What is tried four times a second while a server is away would fill a night's log."""

from __future__ import annotations

import time
from typing import Any

from cutoverd.daemon.host.log import Logger

log = Logger(__name__)


class Outage:
    """Told once when it begins and once when it is over; `fields` are of both lines."""

    def __init__(self, begins: str, ends: str, **fields: Any) -> None:
        self._begins, self._ends, self._fields = begins, ends, fields
        self._began: float | None = None

    def goes_on(self, **details: Any) -> None:
        if self._began is None:
            self._began = time.monotonic()
            log.warning(self._begins, **self._fields, **details)

    def is_over(self) -> None:
        if self._began is not None:
            seconds, self._began = round(time.monotonic() - self._began, 1), None
            log.info(self._ends, **self._fields, after_seconds=seconds)

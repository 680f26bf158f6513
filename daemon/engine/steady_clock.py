"""The time of day as this process counts it on, whatever is done to the machine's clock meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

SET_SECONDS = 5.0  # further apart the clock was set; nearer it may have been slewed


class SteadyClock:
    def __init__(self) -> None:
        self._began, self._monotonic = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic() - self._monotonic)

    @property
    def is_steady(self) -> bool:
        """Whether the machine's clock says the same."""
        return abs((datetime.now(UTC) - self.now()).total_seconds()) < SET_SECONDS

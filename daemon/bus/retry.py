"""How long to try again, and how long a log may look shorter than it was."""

from __future__ import annotations

import asyncio
import time

from cutoverd.daemon.engine.errors import LogRegressed, Unavailable

# docs/measured.md, "A cluster without a leader"
BUDGET_SECONDS = 30.0  # a cluster that lost its leader answered 503 for up to 7.6 s
REGRESSED_SECONDS = 3.0  # a new leader may lag for a moment; what is still missing then is lost
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0


class RetryBudget:
    """A budget of seconds, spent in growing pauses."""

    def __init__(self, what: str, budget_seconds: float = BUDGET_SECONDS) -> None:
        self.started = time.monotonic()
        self.last_reason = "no answer"  # to try again
        self.hint = ""  # for that reason; else that of every outage
        self._what = what
        self._budget_seconds = budget_seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS

    async def pause(self) -> None:
        """Wait before the next try; raises `Unavailable` once the budget is spent."""
        if time.monotonic() - self.started > self._budget_seconds:
            reason = f"{self._what}: not settled within {self._budget_seconds:g} s, last seen: {self.last_reason}"
            raise Unavailable(reason, hint=self.hint)
        await asyncio.sleep(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 1.6, LONGEST_PAUSE_SECONDS)


class RegressionGuard:
    """Tells a log that lags for a moment from one that has lost its end."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_whole(self, what: str, end_seq: int, known_seq: int) -> bool:
        """Whether the log reaches `known_seq`; raises `LogRegressed` if it has not for more than 3 s."""
        if end_seq >= known_seq:
            self._since = None
            return True
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > REGRESSED_SECONDS:
            raise LogRegressed(f"{what} ends at sequence {end_seq}, but {known_seq} was acknowledged")
        return False

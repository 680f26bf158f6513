"""A proof that somebody watches: our own metrics were asked for not long ago."""

from __future__ import annotations

from dataclasses import dataclass

from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.metrics.server import Scrapes
from cutoverd.states.errors import TimedOut
from cutoverd.states.ports import AttemptId, Evidence

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class ScrapedCheck:
    """A `CheckKind` (systems/protocols.py); `within_seconds`: how old the last scrape may be, and how long one is waited for."""

    scrapes: Scrapes
    listen: str
    within_seconds: float

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """{"scrapes", "seconds_ago"}; raises `TimedOut`."""
        polling = Polling(self.within_seconds, pause_seconds=POLL_SECONDS)
        while (ago := self.scrapes.seconds_ago) is None or ago > self.within_seconds:
            if polling.is_over:
                raise TimedOut(
                    f"nobody asked for http://{self.listen}/metrics within {self.within_seconds:g} s"
                    + (f"; the last who did came {ago:.0f} s ago" if ago is not None else ""),
                    hint="see that Prometheus has it as a target and reaches it; metrics.scraped_within: 0s asks for no scrape",
                )
            await polling.pause()
        return {"scrapes": self.scrapes.count, "seconds_ago": round(ago, 1)}

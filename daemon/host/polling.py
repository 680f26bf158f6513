"""Asking again and again, with a pause and an end: what a server or a process does is seen by asking alone."""

from __future__ import annotations

import asyncio
import time


class Polling:
    """One such wait, from now on. Ask, leave if it is so, `is_over`? then give up, else `pause` and ask again."""

    def __init__(self, seconds: float, *, pause_seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._pause_seconds = pause_seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is up; the answer that came last still counts."""
        return time.monotonic() > self._ends_at

    async def pause(self) -> None:
        await asyncio.sleep(self._pause_seconds)

    def pause_blocking(self) -> None:
        """In a thread of one's own, or before there is a loop."""
        time.sleep(self._pause_seconds)

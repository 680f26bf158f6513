"""The clocks of this machine: the one that people set, and the one that counts since it was booted."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from cutoverd.states.check_rules import ClockReading

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROCESS = uuid4().hex


class SystemClock:
    """`Clock` of states/ports_systems.py."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def reading(self) -> ClockReading:
        return ClockReading(self.now(), _boot(), time.clock_gettime(time.CLOCK_BOOTTIME))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:  # then only this process knows that its clock is the same one
        return _PROCESS

"""Giving room back on a disk that is full.

Any statement, a question to the ledger too, may have to make room in memory by writing a page of what lies on that disk, and
fails by it; the next one meets another page. A checkpoint, which each drop makes, fails for as long as such a page is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from cutoverd.states.errors import StepError

Result = TypeVar("Result")

TRIES, PAUSE_SECONDS = 20, 0.2
FULL = (psycopg.errors.DiskFull, psycopg.errors.InternalError_)  # the second: what PostgreSQL calls a checkpoint without room


async def again_on_full_disk(drop: Callable[[], Awaitable[Result]]) -> Result:
    """What `drop` gives, tried again for some seconds; raises what its last try raises."""
    for _ in range(TRIES - 1):
        try:
            return await drop()
        except StepError as error:
            if not isinstance(error.__cause__, FULL):
                raise
        await asyncio.sleep(PAUSE_SECONDS)
    return await drop()

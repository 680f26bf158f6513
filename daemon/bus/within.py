"""A time-out for what nats-py does, of which no cancel is lost.

nats-py waits by `asyncio.wait_for`, and before Python 3.12 that swallows a cancel which comes in the same turn of the loop as
the answer: an operator's `abort` or a SIGTERM would not be heard, and a reader that is only ended by a cancel never ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`; a cancel that came meanwhile goes on, whatever the block made of it."""
    task = asyncio.current_task()
    assert task, "only a task can be cancelled"  # noqa: S101  # for mypy: there is none outside the loop
    known = task.cancelling()
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:
        if task.cancelling() > known:
            raise asyncio.CancelledError

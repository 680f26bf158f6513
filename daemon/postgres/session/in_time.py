"""An answer that comes in time, or none: psycopg waits five seconds for the answer to a cancel, and the network may be silent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.postgres.session.connect import Connection

_Answer = TypeVar("_Answer")


async def answer_within(seconds: float, connection: Connection, asking: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What is asked in `connection`; without an answer that is closed, and `TimeoutError` raised.

    It is closed before the question is cancelled, then nobody waits for the server; so it is where the caller is cancelled.
    """
    task = asyncio.create_task(asking)
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            raise TimeoutError(f"no answer within {seconds:g} s")
        return task.result()
    finally:
        if not task.done():
            await connection.close()
            await end_tasks(task)

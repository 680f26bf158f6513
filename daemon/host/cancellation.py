"""Cancels: none is lost, and what must be done to its end is.

nats-py waits by `asyncio.wait_for`, and before Python 3.12 that swallows a cancel which comes in the same turn of the loop as
the answer: an operator's `abort` or a SIGTERM would not be heard, and what is only ended by a cancel never ends
(docs/measured.md, "What nats-py leaves undone").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

DEAF_SECONDS = 0.1  # a cancel was lost if its task still runs then
TRIES = 20
_Result = TypeVar("_Result")


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`: raises `TimeoutError` after so many seconds, in words where the block gave none.

    A cancel that came meanwhile goes on as `CancelledError` once the block ends, whatever the block made of it.
    """
    task = asyncio.current_task()
    assert task, "only a task can be cancelled"  # noqa: S101  # for mypy: there is none outside the loop
    known = task.cancelling()
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if limit.expired() and not str(error):
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        raise
    finally:
        if task.cancelling() > known:
            raise asyncio.CancelledError


async def run_to_completion(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await to the end, whatever is cancelled meanwhile; the cancel goes through afterwards, as `CancelledError`."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return task.result()


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel those that are not done, and await the end of all; what they raise is fetched, and told by nobody.

    For who has a reason of his own to end them. Found: the error of a step that a takeover had ended was fetched by nobody, and
    asyncio wrote a traceback for it.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def cancel_all(tasks: Callable[[], Iterable[asyncio.Task[Any] | None]]) -> None:
    """Cancel them until they are gone, up to 2 s; for tasks that may lose a cancel and have nothing to clear up.

    They are asked for again each time: one that lost its cancel may have begun others.
    """
    for _ in range(TRIES):
        if not (alive := [task for task in tasks() if task and not task.done()]):
            return
        for task in alive:
            task.cancel()
        await asyncio.wait(alive, timeout=DEAF_SECONDS)

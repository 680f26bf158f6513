"""Who connects to the scratch database again and again leaves when he is told to, whatever happens to his session then."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import psycopg

from cutoverd.daemon.postgres.backup.probe_client import visiting


class Session:
    """One that the server ends in the moment in which its statement is cancelled: psycopg 3.2 tells of that alone."""

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def execute(self, _: str) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise psycopg.errors.AdminShutdown("terminating connection due to administrator command") from None


async def test_a_visitor_whose_session_is_ended_while_he_is_told_to_leave_does_not_come_again() -> None:
    """With psycopg 3.2 an `abort` in the middle of the trial of the way back would have waited for him for ever."""

    async def connect(_: str) -> Session:
        return Session()

    server: Any = SimpleNamespace(connect=connect, names=SimpleNamespace(production="app_try"))

    async def visit() -> None:
        async with visiting(server):
            pass

    before = asyncio.all_tasks()
    visits = asyncio.create_task(visit())
    _, late = await asyncio.wait([visits], timeout=3)
    for task in asyncio.all_tasks() - before if late else ():
        task.cancel()
        await asyncio.sleep(0)
    assert not late

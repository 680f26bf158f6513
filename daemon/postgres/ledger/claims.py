"""Who means to lead a run: said before anything of an older daemon is ended, so that it can tell a takeover from a failure.

The fence row cannot say it: it stays locked for as long as a step of the older daemon runs, and what that step holds is ended
first. What a takeover does to children and sessions must not be recorded as a step that failed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg

from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError

ANSWER_SECONDS = 5.0
PAUSE_SECONDS = 0.2

CLAIM = """
INSERT INTO cutoverd.claims AS made (run, epoch) VALUES (%(run)s, %(above)s + 1)
ON CONFLICT (run) DO UPDATE SET epoch = greatest(made.epoch, %(above)s) + 1
RETURNING epoch
"""
NEWEST = """
SELECT greatest((SELECT epoch FROM cutoverd.claims WHERE run = %(run)s), (SELECT epoch FROM cutoverd.fence WHERE run = %(run)s))
"""


async def claim(server: Server, above: int) -> int:
    """An epoch above `above` that no other daemon has or will get."""
    async with session(server) as conn:
        row = await fetch_one(conn, CLAIM, {"run": server.run, "above": above})
    assert row, "RETURNING gives a row"  # noqa: S101  # for mypy
    return int(row[0])


async def newest(server: Server) -> int | None:
    """The highest epoch that was claimed, or that has the fence; None if PostgreSQL does not say it within 5 s."""
    asking = asyncio.create_task(_newest(server))  # apart from us: psycopg is slow to leave a server that stands still
    try:
        await asyncio.wait([asking], timeout=ANSWER_SECONDS)
        return asking.result() if asking.done() else None
    finally:
        asking.cancel()


async def _newest(server: Server) -> int | None:
    """On a disk that is full it is asked again: any statement may have to write a page of what lies there.

    Found: a restore that had filled the disk was not known to have failed, for who leads could not be asked.
    """
    onlooker = replace(server, epoch=0, reach_seconds=0)  # whose session a newer daemon does not end
    while True:
        try:
            async with session(onlooker) as conn:
                row = await fetch_one(conn, NEWEST, {"run": server.run})
            return int(row[0] or 0) if row else 0
        except (StepError, OSError) as error:
            if not isinstance(error.__cause__, psycopg.errors.DiskFull):
                return None
        await asyncio.sleep(PAUSE_SECONDS)

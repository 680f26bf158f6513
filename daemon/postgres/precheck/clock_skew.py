"""Two clocks: the server's and this machine's. The order of events depends on neither, but window and `ttl` are read from one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

TOLERANCE = timedelta(seconds=5)


def now() -> datetime:
    """By this machine's clock."""
    return datetime.now(UTC)


async def ahead(conn: Connection) -> timedelta:
    """How far the server's clock is ahead of ours; nothing as far as the time that the question took can explain it."""
    asked = now()
    row = await fetch_one(conn, "SELECT clock_timestamp()")
    answered = now()
    theirs: datetime = row[0] if row else asked
    if theirs < asked:
        return theirs - asked
    return max(theirs - answered, timedelta())


def too_far(by: timedelta) -> list[str]:
    """In words, if they are further apart than tolerated."""
    if abs(by) <= TOLERANCE:
        return []
    word = "ahead of" if by > timedelta() else "behind"
    return [
        f"the server's clock is {abs(by).total_seconds():.0f} s {word} this machine's "
        f"(tolerated: {TOLERANCE.total_seconds():g} s): set both by NTP; window.opens and ttl are judged by this machine's"
    ]

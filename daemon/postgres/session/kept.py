"""Sessions at home that are used again: nearly every step asks the ledger, and a login costs more than the question.

Only what ended well is kept, and only while a daemon drives a run. A session that is taken has its pins again before anybody
asks in it; one that does not answer at once is given up, for a new one tells better why the server is not reached
(docs/measured.md, "A login").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus

from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.postgres.session.connect import Connection
from cutoverd.daemon.postgres.session.in_time import answer_within
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.server import Server

IDLE_SECONDS = 30.0  # whatever stands between us and the server forgets a silent connection after minutes
OLDEST_SECONDS = 120.0  # after a failover a proxy may keep what was open on the server that leads no more
ANSWER_SECONDS = 1.0
MOST_KEPT = 3

Whose = tuple[str, str, bool]
_keeping: ContextVar[KeptSessions | None] = ContextVar("keeping", default=None)


@dataclass
class KeptSessions:
    """Of one daemon, by whom they are; the one that was used last is taken first."""

    _idle: dict[Whose, list[tuple[Connection, float]]] = field(default_factory=dict)
    _is_over: bool = False
    _born: WeakKeyDictionary[Connection, float] = field(default_factory=WeakKeyDictionary)

    async def take(self, server: Server) -> Connection | None:
        """One in which nothing is under way, as new; None if there is none."""
        await self.close_idle(IDLE_SECONDS)
        if not (kept := self._idle.get(_whose(server))):
            return None
        connection, _ = kept.pop()
        if await _is_as_new(server, connection):
            return connection
        await self.close_idle(0)  # what ended this one has most likely ended the others
        return None

    def begin(self, connection: Connection) -> None:
        """One that is new, and may be kept.

        It prepares nothing by itself: a table that changed since would be "cached plan must not change result type".
        """
        connection.prepare_threshold = None
        self._born[connection] = time.monotonic()

    def keep(self, server: Server, connection: Connection) -> bool:
        """Whether it is: not where something is under way in it, nor where there are enough, nor after the end."""
        if self._is_over:
            return False
        kept = self._idle.setdefault(_whose(server), [])
        if len(kept) >= MOST_KEPT or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            return False
        kept.append((connection, time.monotonic()))
        return True

    async def end(self) -> None:
        """Close them, and keep none that is still in use."""
        self._is_over = True
        await self.close_idle(0)

    async def close_idle(self, idle_seconds: float) -> int:
        """Those that nobody has asked in for so long, and those that are too old; how many."""
        now, before = time.monotonic(), self._number
        for kept in list(self._idle.values()):
            old = [each for each in kept if now - each[1] >= idle_seconds or now - self._born[each[0]] > OLDEST_SECONDS]
            kept[:] = [each for each in kept if each not in old]
            for connection, _since in old:
                await connection.close()
        return before - self._number

    @property
    def _number(self) -> int:
        return sum(map(len, self._idle.values()))


def _whose(server: Server) -> Whose:
    """What two servers have in common whose sessions at home are the same, that of the window and that of its rehearsal."""
    return server.url, server.application_name, server.read_only


async def _is_as_new(server: Server, connection: Connection) -> bool:
    is_as_new = False
    try:
        await answer_within(ANSWER_SECONDS, connection, server.pin_again(connection))
        is_as_new = True
    except (psycopg.Error, TimeoutError):
        pass  # ended by a takeover, or with its server: the new session that follows says why, if it cannot begin
    finally:
        if not is_as_new:
            await connection.close()
    return is_as_new


@asynccontextmanager
async def sessions_kept() -> AsyncIterator[None]:
    """Within it, sessions at home are kept for the next who asks there."""
    kept = KeptSessions()
    token = _keeping.set(kept)
    closing = asyncio.create_task(_close_idle(kept))
    try:
        yield
    finally:
        _keeping.reset(token)
        await end_tasks(closing)
        await kept.end()


async def _close_idle(kept: KeptSessions) -> None:
    while True:
        await asyncio.sleep(IDLE_SECONDS)
        await kept.close_idle(IDLE_SECONDS)


def kept_for(server: Server, database: str) -> KeptSessions | None:
    """Where a session of `server` may come from and go to; None for what is not the ledger's, and outside a daemon."""
    return _keeping.get() if server.home == LEDGER and database in ("", LEDGER) else None


async def give_up_kept() -> bool:
    """Make room on the server; whether there were any. Found: idle ones of ours took the last connection that a step needed."""
    keeping = _keeping.get()
    return bool(keeping and await keeping.close_idle(0))
